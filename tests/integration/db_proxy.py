"""A proxy before the database that cuts connections at COMMIT: before the server has got it,
or after it was carried out, when only the answer is lost."""

from proxy import COMMIT, Proxy


class DbProxy(Proxy):
    """`cut` is asked at every COMMIT: None lets it pass, "before" and "after" cut."""

    def __init__(self, port, cut):
        self.cut_where = cut
        super().__init__(port)

    async def request(self, link, data):
        where = self.cut_where() if data == COMMIT else None
        if where:
            self.counts[where] += 1
        if where == "after":
            self.lost.add(link)
        return None if where == "before" else data
