# SPDX-License-Identifier: GPL-3.0-or-later
"""How the descriptions of guests become requests, and the results of guests a summary."""

from __future__ import annotations

import hashlib
import time
import unittest
from collections.abc import Callable
from typing import Any

import lab


def setUpModule() -> None:
    lab.import_collection()


class HostVars:
    """As far as Ansible's hostvars are used for values without templates."""

    def __init__(self, hosts: dict[str, dict[str, Any]]) -> None:
        from ansible.parsing.dataloader import DataLoader

        self._hosts = hosts
        self._loader = DataLoader()

    def raw_get(self, host: str) -> dict[str, Any]:
        return self._hosts[host]


def described(**more: Any) -> dict[str, Any]:
    return {
        "provision_output": "/out",
        "provision_image": "/images/guest.img",
        "provision_host_keys": ["/a.crt", "/b.crt"],
        "provision_secrets": [{"name": "cluster key"}],
        **{f"provision_{name}": value for name, value in more.items()},
    }


def plan(*hosts: dict[str, Any]) -> dict[str, Any]:
    from ansible_collections.seguest.pv.plugins.plugin_utils import fleet

    named = {f"guest{at}": host for at, host in enumerate(hosts, 1)}
    hostvars = HostVars(named)
    planned = fleet.plan(named, hostvars)
    return {**planned, "requests": fleet.requests(planned["guests"], hostvars)}


def folders(planned: dict[str, Any]) -> set[str]:
    return {request["path"].split("/")[-2] for request in planned["requests"]}


class Filters(unittest.TestCase):
    def test_the_variables_of_each_host_are_put_together_once_in_a_use_of_a_filter(self) -> None:
        from ansible_collections.seguest.pv.plugins.filter import fleet

        asked: list[str] = []

        class Counting(HostVars):
            def raw_get(self, host: str) -> dict[str, Any]:
                asked.append(host)
                return super().raw_get(host)

        groups = {"trusted": ["trusted"], "guests": ["guest1", "guest2"]}
        hosts = {host: {**described(), "groups": groups, "guest_result": {}} for host in ("guest1", "guest2")}
        hostvars = Counting({**hosts, "trusted": {"groups": groups, "fleet_challenged": {"requests": []}}})
        uses: tuple[Callable[[], Any], ...] = (
            lambda: fleet.fleet_mistakes(groups, hostvars, ["localhost", "trusted", *hosts], ["trusted"]),
            lambda: fleet.fleet_plan(hosts, hostvars),
            lambda: fleet.fleet_challenges(hosts, hostvars),
            lambda: fleet.fleet_evidence(hosts, hostvars, {"requests": []}, "guest_result"),
            lambda: fleet.fleet_summary(hosts, hostvars, "guest_result"),
            lambda: fleet.fleet_unproved(hosts, hostvars),
        )
        for number, use in enumerate(uses):
            with self.subTest(number):
                asked.clear()
                use()
                self.assertEqual(len(asked), len({*asked}))

    def test_a_guest_gets_its_own_part_of_a_fact_and_a_missing_one_is_an_error_that_names_the_trusted_machine(
        self,
    ) -> None:
        from ansible.errors import AnsibleFilterError

        from ansible_collections.seguest.pv.plugins.filter import fleet

        groups = {"trusted": ["trusted"]}
        hostvars = HostVars({"trusted": {"fact": {"guest1": ["own"]}}})
        self.assertEqual(fleet.fleet_for("guest1", groups, hostvars, "fact"), ["own"])
        self.assertEqual(fleet.fleet_for("guest2", groups, hostvars, "fact", None), None)
        self.assertEqual(fleet.fleet_for("guest1", {}, hostvars, "fact", "otherwise"), "otherwise")
        for host, fact in (("guest2", "fact"), ("guest1", "other")):
            with self.assertRaisesRegex(AnsibleFilterError, "--limit trusted"):
                fleet.fleet_for(host, groups, hostvars, fact)

    def test_hosts_among_others_keep_their_order(self) -> None:
        from ansible_collections.seguest.pv.plugins.filter import fleet

        self.assertEqual(fleet.fleet_among(["c", "a", "b"], ["b", "c"]), ["c", "b"])
        self.assertEqual(fleet.fleet_among({"c": 1, "a": 2}, []), [])


class Plans(unittest.TestCase):
    def test_guests_that_agree_share_a_request_and_those_that_do_not_have_their_own(self) -> None:
        same = plan(described(), described())
        self.assertEqual(len(same["requests"]), 1)
        self.assertEqual([*same["guests"]], ["guest1", "guest2"])
        for different in (
            {"image": "/images/other.img"},
            {"host_keys": ["/a.crt"]},
            {"cck_file": "/cck"},
            {"extension_secret_file": "/ext"},
        ):
            with self.subTest(different):
                apart = plan(described(), described(**different))
                self.assertEqual((len(apart["requests"]), len(folders(apart))), (2, 2))
                # The secret is one.
                self.assertEqual({entry["secret_file"] for entry in apart["requests"]}, {"/out/secrets/cluster_key"})

    def test_a_list_is_the_same_however_it_is_written(self) -> None:
        written = (["/a.crt", "/b.crt"], ["/b.crt", "/a.crt"], "/a.crt,/b.crt", '["/a.crt", "/b.crt"]')
        self.assertEqual(len({folders(plan(described(host_keys=each))).pop() for each in written}), 1)
        listed = plan(described(secrets='[{"name": "cluster key"}]'))
        self.assertEqual(listed["requests"], plan(described())["requests"])

    def test_a_folder_is_called_after_its_image(self) -> None:
        self.assertRegex(folders(plan(described())).pop(), r"^guest\.img-[0-9a-f]{8}$")
        self.assertRegex(folders(plan(described(image="/x/\u00e9 $(x)"))).pop(), r"^[0-9a-f]{64}$")

    def test_no_name_leads_out_of_the_folder(self) -> None:
        for name in ("../x", "a/b", "/x", ".hidden", "-rf", "a\nb", "x" * 101, "\u00e9", "\0"):
            with self.subTest(name):
                (request,) = plan(described(secrets=[{"name": name}]))["requests"]
                self.assertRegex(request["secret_file"], r"^/out/secrets/[0-9a-f]{64}$")
                self.assertRegex(request["id_file"], r"^/out/requests/guest\.img-[0-9a-f]{8}/[0-9a-f]{64}\.yaml$")

    def test_what_two_guests_describe_differently_is_the_row_of_the_second(self) -> None:
        flagged = [{"name": "cluster key", "flags": ["disable_dump"]}]
        for other, said in (
            ({"secrets": [{"name": "a b"}, {"name": "a_b"}]}, "'a_b' and for 'a b'"),
            ({"secrets": [{"name": "cluster_key"}]}, "'cluster_key' and for 'cluster key'"),
            ({"secrets": flagged}, "they differ in flags"),
            ({"certificates": ["/other.crt"]}, "they differ in certificates"),
            (
                {"secrets": [{"name": "b", "path": "/x"}, {"name": "c", "path": "/y/../x/"}]},
                "the file /x, but it is the request",
            ),
            (
                {"secrets": [{"name": "b", "path": "/x"}, {"name": "c", "secret_file": "/x"}]},
                "the file /x, but it is a secret",
            ),
            (
                {"secrets": [{"name": "b", "secret_file": "/x.manifest.json"}, {"name": "c", "path": "/x"}]},
                "it is the manifest of",
            ),
            (
                {"secrets": [{"name": "b", "path": "/x"}, {"name": "c", "id_file": "/x"}]},
                "it is an id file and the request",
            ),
            (
                {"output": "/elsewhere", "image": "/other.img"},
                "/elsewhere/secrets/cluster_key for one and /out/secrets/cluster_key for the other",
            ),
        ):
            with self.subTest(said):
                planned = plan(described(), described(**other), described())
                self.assertEqual([*planned["guests"]], ["guest1", "guest3"])
                self.assertEqual(planned["failed"]["guest2"]["code"], "args.conflict")
                self.assertIn(said, planned["failed"]["guest2"]["detail"])

    def test_a_typing_error_in_one_guests_secrets_is_its_row(self) -> None:
        from ansible.template import trust_as_template

        undefined = trust_as_template("{{ nothing }}")
        for secret, code in (
            ({"name": "a", "tpye": "aes"}, "args.unknown_option"),
            ({"name": 1.1}, "args.quote_name"),
            ({"name": "a", "label": "a/b"}, "args.invalid"),
            ({"name": undefined}, "args.invalid"),
            ({"name": "a", "secret": undefined}, "args.invalid"),
        ):
            with self.subTest(secret):
                planned = plan(described(), described(secrets=[secret]))
                self.assertEqual(([*planned["guests"]], planned["failed"]["guest2"]["code"]), (["guest1"], code))

    def test_an_order_that_means_nothing_makes_no_difference(self) -> None:
        both = plan(described(), described(host_keys=["/b.crt", "/a.crt"]))
        self.assertEqual((len(both["requests"]), both["failed"]), (1, {}))

    def test_a_description_that_cannot_be_read_is_its_guests_row(self) -> None:
        for broken in ({"secrets": "x"}, {"secrets": None}, {"secrets": ["x"]}, {"output": None}, {"output": ["x"]}):
            with self.subTest(broken):
                planned = plan(described(), described(**broken))
                self.assertEqual([*planned["guests"]], ["guest1"])
                self.assertEqual(planned["failed"]["guest2"]["code"], "args.missing")

    def test_types_without_a_secret_have_no_file_of_one(self) -> None:
        planned = plan(described(secrets=[{"type": "meta"}, {"type": "aes", "name": "a", "secret": "eA=="}]))
        self.assertFalse(any("secret_file" in request for request in planned["requests"]))

    def test_a_plan_holds_no_secret(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils import fleet

        plain = {"g": described(secrets=[{"name": "a", "secret": "c2VjcmV0"}])}
        self.assertNotIn("c2VjcmV0", str(fleet.plan(plain, HostVars(plain))))
        self.assertIn("c2VjcmV0", str(fleet.requests(plain, HostVars(plain))))

    def test_a_guest_is_believed_only_about_secrets_that_it_is_to_have(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils import fleet

        def id_of(name: str) -> str:
            return "0x" + hashlib.sha256(name.encode()).hexdigest()

        def says(*ids: Any) -> dict[str, Any]:
            return {
                "ansible_facts": {"ansible_secure_execution": {"secrets": {"list": [{"id": each} for each in ids]}}}
            }

        planned = plan(described(secrets=[{"name": "a"}]), described(secrets=[{"name": "b"}]))
        answers = {"guest1": says(id_of("a"), id_of("b"), 7), "guest2": {"unreachable": True}}
        self.assertEqual(fleet.held(planned, answers), [{"id": id_of("a"), "by": "guest1"}])
        short = "0x" + b"a".ljust(32, bytes(1)).hex()
        self.assertEqual(fleet.held(planned, {"guest1": says(short)}), [{"id": short, "by": "guest1"}])

    def test_each_guest_gets_its_own_requests_in_order_and_only_its_own_error(self) -> None:
        from ansible_collections.seguest.pv.plugins.plugin_utils import fleet

        planned = plan(described(secrets=[{"name": "b"}, {"name": "a"}]), described(secrets=[{"name": "c"}]))
        built = [{"label": entry["label"], "content": entry["name"]} for entry in planned["requests"]]
        error = {"code": "request.secret_missing", "detail": "Gone.", "hint": "Restore it."}
        built[-1].update(failed=True, error=error, content=None)
        contents = fleet.contents(planned, {"requests": built})
        self.assertEqual([(each["name"], each["content"]) for each in contents["guest1"]], [("b", "b"), ("a", "a")])
        self.assertEqual([each["error"] for each in contents["guest2"]], [error])


class Leaving(unittest.TestCase):
    def own(self, leaving: str, hosts: dict[str, Any]) -> dict[str, Any]:
        from ansible_collections.seguest.pv.plugins.plugin_utils import fleet_leaving

        return fleet_leaving.own_files([leaving], hosts, HostVars(hosts), ["/out/requests/old", "/out/requests/new"])

    def paths(self, found: dict[str, Any]) -> list[str]:
        return [request["path"].split("/", 3)[3] for request in found["requests"]]

    def test_only_what_no_other_guest_names_goes_with_a_guest_from_every_folder(self) -> None:
        own = [{"name": "cluster key"}, {"name": "key of one"}]
        found = self.own("one", {"one": described(secrets=own), "two": described()})
        self.assertEqual(found["secrets"], ["/out/secrets/key_of_one"])
        self.assertEqual(found["shared"], ["cluster key"])
        self.assertEqual(self.paths(found)[1:], [f"{folder}/key_of_one.request" for folder in ("old", "new")])

    def test_a_secret_that_another_guest_uses_by_whatever_name_is_kept(self) -> None:
        seven = described(secrets=[{"name": "seven", "secret_file": "/out/secrets//K"}])
        eight = described(secrets=[{"name": "eight", "secret_file": "/out/secrets/K"}])
        self.assertEqual(self.own("seven", {"seven": seven, "eight": eight})["secrets"], [])
        same_file = self.own(
            "one", {"one": described(secrets=[{"name": "a b"}]), "two": described(secrets=[{"name": "a_b"}])}
        )
        self.assertEqual(same_file["secrets"], [])

    def test_a_request_of_a_shared_secret_goes_with_the_last_guest_of_its_image(self) -> None:
        found = self.own("one", {"one": described(image="/its.img"), "two": described()})
        self.assertRegex(" ".join(self.paths(found)), r"^its\.img-[0-9a-f]{8}/cluster_key\.request$")
        self.assertEqual(self.paths(self.own("one", {"one": described(), "two": described()})), [])

    def test_what_has_no_name_or_a_place_of_its_own_goes_from_there_only(self) -> None:
        meta = described(image="/its.img", secrets=[{"type": "meta"}])
        self.assertEqual(len(self.paths(self.own("one", {"one": meta, "two": described()}))), 1)

    def test_as_long_as_a_guest_that_stays_cannot_be_read_no_secret_is_destroyed(self) -> None:
        found = self.own("one", {"one": described(), "two": described(secrets="?")})
        self.assertEqual((found["secrets"], found["unknown"]), ([], ["two"]))


class Mistakes(unittest.TestCase):
    def mistakes(self, hosts: dict[str, Any], in_run: list[str], **groups: list[str]) -> str:
        from ansible_collections.seguest.pv.plugins.plugin_utils import fleet

        return " ".join(fleet.mistakes(groups, HostVars(hosts), in_run, ["trusted", "guests"]))

    def test_what_cannot_be_meant_is_said_all_at_once(self) -> None:
        good = {"t": {}, "g": described()}
        self.assertEqual(self.mistakes(good, ["t", "g"], trusted=["t"], guests=["g"]), "")
        self.assertIn("no host in the group trusted", self.mistakes({}, []))
        self.assertIn("no host in the group guests", self.mistakes({}, []))
        self.assertIn("--limit trusted,guest1", self.mistakes(good, ["g"], trusted=["t"], guests=["g"]))
        bad = {"t": described(create_secrets="perhaps"), "g": described(imge="/x")}
        said = self.mistakes(bad, ["t", "g"], trusted=["t"], guests=["g"])
        self.assertIn("provision_imge: did you mean provision_image?", said)
        self.assertIn("provision_create_secrets must be true or false", said)
        elsewhere = {"t": {}, "g": described(create_secrets=True)}
        said = self.mistakes(elsewhere, ["t", "g"], trusted=["t"], guests=["g"])
        self.assertIn("provision_create_secrets is read on the trusted machine", said)

    def test_what_a_template_comes_to_is_not_known_yet_and_no_mistake(self) -> None:
        for attest in ("{{ wanted }}", "{% if wanted %}true{% else %}false{% endif %}", "yes", True):
            good = {"t": {}, "g": described(attest=attest)}
            self.assertEqual(self.mistakes(good, ["t", "g"], trusted=["t"], guests=["g"]), "", attest)
        bad = {"t": {}, "g": described(attest="perhaps")}
        self.assertIn("provision_attest must be", self.mistakes(bad, ["t", "g"], trusted=["t"], guests=["g"]))

    def test_what_concerns_the_whole_run_is_a_mistake_where_only_guests_have_it(self) -> None:
        for name in ("serial", "max_fail_percentage", "summary"):
            elsewhere = {"t": {}, "g": described(**{name: "1"})}
            said = self.mistakes(elsewhere, ["t", "g"], trusted=["t"], guests=["g"])
            self.assertIn(f"provision_{name} is read on the trusted machine", said)
            everywhere = {"t": {f"provision_{name}": "1"}, "g": described(**{name: "1"})}
            self.assertEqual(self.mistakes(everywhere, ["t", "g"], trusted=["t"], guests=["g"]), "")


class Summaries(unittest.TestCase):
    def told(self, results: dict[str, Any]) -> dict[str, Any]:
        from ansible_collections.seguest.pv.plugins.plugin_utils.summary import summary

        return summary(results, results)

    def test_three_hundred_guests_fit_on_a_screen_of_eighty_columns(self) -> None:
        results: dict[str, Any] = {f"guest{at:03}": {"changed": False} for at in range(300)}
        failure = {"failed": True, "error": {"code": "uv.store_locked", "detail": "x " * 400, "hint": "y"}}
        results.update({f"guest{at:03}": failure for at in range(100)})
        results["guest200"] = {"unreachable": True, "msg": "no route\x1b[2J"}
        results["guest201"] = {"failed": True, "msg": "sudo: a password is required"}
        results["guest202"] = {"changed": True, "noted": ["It may differ. [uv.secret_may_differ]"]}
        results["guest203"] = None
        told = self.told(results)
        self.assertEqual(told["counts"], {"guests": 300, "changed": 1, "unchanged": 196, "failed": 102, "not_begun": 1})
        self.assertEqual([kind["code"] for kind in told["failed"]], ["uv.store_locked", "failed", "unreachable"])
        self.assertEqual(len(told["failed"][0]["hosts"]), 100)
        self.assertEqual(told["warnings"][0]["code"], "uv.secret_may_differ")
        self.assertLess(len(told["lines"]), 40)
        self.assertTrue(all(len(line) <= 68 and "\x1b" not in line for line in told["lines"]), told["lines"])
        self.assertIn("and 60 more", " ".join(" ".join(told["lines"]).split()))

    def test_what_a_guest_says_costs_no_more_than_its_length(self) -> None:
        long = " " * 2_000_000 + "x"
        noted = [f"{at}. [x.{at}]" for at in range(50_000)]
        begun = time.monotonic()
        told = self.told(
            {"g": {"changed": False, "noted": [long, "[" * 2_000_000, *noted]}, "h": {"failed": True, "msg": long}}
        )
        self.assertLess(time.monotonic() - begun, 2)
        self.assertLess(len(told["warnings"]), 25)

    def test_an_answer_of_any_shape_is_a_row(self) -> None:
        odd: list[Any] = [
            {},
            {"error": 1, "failed": True},
            {"noted": 7},
            {"noted": [1]},
            [],
            "x",
            3,
            {"error": {"code": []}},
        ]
        told = self.told({f"g{at}": each for at, each in enumerate(odd)})
        self.assertEqual(told["counts"]["guests"], len(odd))


if __name__ == "__main__":
    unittest.main()
