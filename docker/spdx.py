"""Parts of an SBOM (SPDX 2.3), for docker/rootfs and docker/package-sbom.  Only standard modules."""

import datetime
import json
import re
import urllib.parse
import uuid


def package_id(name):
    return "SPDXRef-Package-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def source_of(fact):
    """The source package, with its version where that is another one."""
    if fact["source_version"] == fact["version"]:
        return fact["source"]
    return f"{fact['source']}@{fact['source_version']}"


def package(fact, distro):
    """A package of Debian's: name, version, arch, source, source_version, maintainer and homepage, as dpkg has them."""
    version, upstream = fact["version"].replace(":", "%3A"), urllib.parse.quote(source_of(fact), safe="~")
    described = {
        "SPDXID": package_id(fact["name"]),
        "name": fact["name"],
        "versionInfo": fact["version"],
        "supplier": "Organization: " + re.sub(r"\s*<[^>]*>", "", fact["maintainer"]),
        "sourceInfo": f"Debian source package {fact['source']} {fact['source_version']}",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": f"pkg:deb/debian/{fact['name']}@{version}"
            f"?arch={fact['arch']}&distro={distro}&upstream={upstream}",
        }],
    }  # fmt: skip
    if fact["homepage"]:
        described["homepage"] = fact["homepage"]
    return described


def own_package(name, version):
    return {
        "SPDXID": package_id(name),
        "name": name,
        "versionInfo": version,
        "supplier": "Organization: shop",
        "primaryPackagePurpose": "APPLICATION",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    }


def relation(one, kind, other):
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def text(name, what, epoch, tool, contents):
    """The document about `name`; `contents` has its packages, files and further relationships."""
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": what,
        "creationInfo": {
            "created": datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [f"Tool: {tool}"],
        },
        "documentDescribes": [package_id(name)],
        **contents,
    }
    document["relationships"].insert(0, relation("SPDXRef-DOCUMENT", "DESCRIBES", package_id(name)))
    # The same content has the same name, whenever and wherever it is built.
    content = json.dumps(document, sort_keys=True)
    document["documentNamespace"] = f"https://spdx.org/spdxdocs/{name}-{uuid.uuid5(uuid.NAMESPACE_URL, content)}"
    return json.dumps(document, indent=1) + "\n"
