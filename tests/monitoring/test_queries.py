"""The reading of queries itself, which the tests against a running Prometheus rest on."""

from queries import selectors


def test_selectors_of_expressions():
    assert selectors("up == 0") == {"up"}
    assert selectors('sum by (job) (rate(a_total{x="1",y=~"a|b"}[5m])) / clamp_min(b:c:d, 1)') == {
        'a_total{x="1",y=~"a|b"}',
        "b:c:d",
    }
    assert selectors('absent(up{job="x"} == 1) or vector(0)') == {'up{job="x"}'}
    assert selectors('a{path="^/(x|y)($|/)"} * on (pod) group_left (program) info unless on (pod) z offset 1h') == {
        'a{path="^/(x|y)($|/)"}', "info", "z"} | selectors("1h")  # fmt: skip
    assert selectors("histogram_quantile(0.99, sum by (le, job) (rate(h_bucket[5m])))") == {"h_bucket"}
    assert selectors('label_replace(a{b="c"}, "to", "$1", "from", "(.+)")') == {'a{b="c"}'}
    assert selectors("vector(1)") == set()
