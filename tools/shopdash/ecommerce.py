"""The shop in Kubernetes: pods, what they use, how they scale, on which nodes.

By metrics of kube-state-metrics, the kubelets (cAdvisor) and node-exporter; empty under compose.
"""

from .panels import bad_if_any, board, good_from, graph, stat, steps
from .parts import RATE

SHOP = 'namespace="shop"'
# Joins what is known of a pod with its program.
OF_PROGRAM = "* on (namespace, pod) group_left (program) pod:shop_program:info"
DISK = '{fstype!~"tmpfs|overlay|squashfs|ramfs"}'
USED = f'{SHOP},container!=""'


def _per_program(value):
    return f"sum by (program) (sum by (namespace, pod) ({value}) {OF_PROGRAM})"


def _cpu_share(used):
    """By pod: what it uses of its limit, or of its request where it has no limit."""
    may = [f'sum by (pod) (kube_pod_container_resource_{word}{{{SHOP},resource="cpu"}})' for word in ("limits", "requests")]
    return f"sum by (pod) ({used}) / ({may[0]} or {may[1]})"


def _pods():
    phase = 'sum(kube_pod_status_phase{%s,phase="%s"})'
    return (
        "Pods",
        [
            stat("Running", phase % (SHOP, "Running"), "Pods of the namespace shop.", thresholds=good_from(1)),
            stat(
                "Pods ready",
                f'sum(kube_pod_status_ready{{{SHOP},condition="true"}})',
                "Pods that get requests.",
                thresholds=good_from(1),
            ),
            stat("Pending", phase % (SHOP, "Pending"), "Waiting for a node or an image.", thresholds=steps(1, 3)),
            stat("Failed", phase % (SHOP, "Failed"), "Ended with an error.", thresholds=bad_if_any()),
            stat(
                "Restarts, last hour",
                f"sum(increase(kube_pod_container_status_restarts_total{{{SHOP}}}[1h]))",
                "Of containers.",
                thresholds=steps(1, 3),
                decimals=0,
            ),
            stat(
                "Jobs failed",
                f'sum(kube_job_failed{{{SHOP},condition="true"}}) or vector(0)',
                "Given up: migrations, topics.",
                thresholds=bad_if_any(),
            ),
            graph(
                "Running pods by program",
                [
                    (
                        f'sum by (program) (kube_pod_status_phase{{{SHOP},phase="Running"}} {OF_PROGRAM})',
                        "{{program}}",
                    )
                ],
                "As the schedulers and autoscalers made them.",
                width=12,
                stack=True,
            ),
            graph(
                "Restarts by pod",
                [(f"increase(kube_pod_container_status_restarts_total{{{SHOP}}}[10m])", "{{pod}}")],
                "In ten minutes.",
                width=12,
            ),
        ],
    )


def _resources():
    cpu = f"rate(container_cpu_usage_seconds_total{{{USED}}}{RATE})"
    memory = f"container_memory_working_set_bytes{{{USED}}}"
    return (
        "CPU and memory",
        [
            graph("CPU by program", [(_per_program(cpu), "{{program}}")], "Cores.", "none", width=12),
            graph(
                "CPU against limit or request",
                [(_cpu_share(cpu), "{{pod}}")],
                "Against the request where there is no limit. The autoscaler keeps it at 70 %.",
                "percentunit",
                width=12,
                limit=1,
            ),
            graph("Memory by program", [(_per_program(memory), "{{program}}")], "Working set.", "bytes", width=12),
            graph(
                "Memory against limit",
                [("pod:memory_usage:ratio_of_limit", "{{pod}} {{container}}")],
                "At 100 % the kernel kills the container.",
                "percentunit",
                width=12,
                limit=0.85,
            ),
        ],
    )


def _network():
    def bytes_of(direction):
        return _per_program(f'rate(container_network_{direction}_bytes_total{{{SHOP},interface!="lo"}}{RATE})')

    return (
        "Network",
        [
            graph("In, by service", [(bytes_of("receive"), "{{program}}")], "Received by its pods.", "Bps", width=12),
            graph("Out, by service", [(bytes_of("transmit"), "{{program}}")], "Sent by its pods.", "Bps", width=12),
        ],
    )


def _scaling():
    hpa = "kube_horizontalpodautoscaler_%s{%s}"
    name = "{{horizontalpodautoscaler}}"
    return (
        "Autoscaling",
        [
            graph("Replicas, current", [(hpa % ("status_current_replicas", SHOP), name)], "Of each HPA."),
            graph("Replicas, desired", [(hpa % ("status_desired_replicas", SHOP), name)], "What each HPA wants now."),
            graph(
                "Share of the maximum",
                [(f"{hpa % ('status_desired_replicas', SHOP)} / {hpa % ('spec_max_replicas', SHOP)}", name)],
                "At 100 % more load cannot be met by more pods.",
                "percentunit",
                limit=1,
            ),
        ],
    )


def _nodes():
    by = "by (node)"
    return (
        "Nodes",
        [
            stat(
                "Nodes ready",
                'sum(kube_node_status_condition{condition="Ready",status="true"})',
                "Nodes.",
                thresholds=good_from(1),
            ),
            stat(
                "Nodes not ready",
                'sum(kube_node_status_condition{condition="Ready",status=~"false|unknown"})',
                "Nodes.",
                thresholds=bad_if_any(),
            ),
            graph("Pods by node", [(f"count {by} (kube_pod_info{{{SHOP}}})", "{{node}}")], "Of the shop.", stack=True),
            graph(
                "CPU by node",
                [(f'1 - avg {by} (rate(node_cpu_seconds_total{{mode="idle"}}{RATE}))', "{{node}}")],
                "Not idle.",
                "percentunit",
            ),
            graph(
                "Memory by node",
                [(f"1 - max {by} (node_memory_MemAvailable_bytes) / max {by} (node_memory_MemTotal_bytes)", "{{node}}")],
                "In use.",
                "percentunit",
                limit=0.9,
            ),
            graph(
                "Disk by node",
                [
                    (
                        f"1 - min by (node) (node_filesystem_avail_bytes{DISK} / node_filesystem_size_bytes{DISK})",
                        "{{node}}",
                    )
                ],
                "The fullest file system.",
                "percentunit",
                limit=0.9,
            ),
        ],
    )


def boards():
    rows = [_pods(), _resources(), _network(), _scaling(), _nodes()]
    yield board(
        "ecommerce", "E-Commerce Microservices Dashboard", "The shop in Kubernetes: pods, resources, scaling, nodes.", rows
    )
