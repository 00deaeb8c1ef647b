# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task with many entries shows when some of them fail."""

from __future__ import annotations

import lab

REQUEST = "seguest.pv.secret_request"
ANSWER = """cat >/dev/null
echo '{"changed": true, "failed": %s, "msg": "m", "requests": [
  {"label": "good", "failed": false, "path": "/a"}, {"label": "bad", "failed": true, "path": "/b"}]}'
exit %d
"""


class Batches(lab.Lab):
    """One request of two fails."""

    def test_a_failed_task_shows_what_failed_and_not_the_rest(self) -> None:
        self.binary("secret_request", ANSWER % ("true", 1))
        result = self.one({REQUEST: {"requests": [{"path": "/a"}, {"path": "/b"}]}})
        self.assertEqual([entry["label"] for entry in result["requests"]], ["bad"])
        self.assertNotIn("good", self.output)

    def test_whoever_looks_at_verdicts_himself_has_them_all_whatever_else_failed(self) -> None:
        entries = '[{"label": "good", "verdict": "affirming"}, {"label": "bad", "verdict": "none"}]'
        self.binary(
            "attest_verify", f"""cat >/dev/null; echo '{{"failed": true, "msg": "m", "responses": {entries}}}'"""
        )
        for fail, labels in ((False, ["good", "bad"]), ("no", ["good", "bad"]), (True, ["bad"])):
            result = self.one({"seguest.pv.attest_verify": {"responses": [], "fail": fail}})
            self.assertEqual([entry["label"] for entry in result["responses"]], labels, fail)

    def test_a_task_that_keeps_going_hands_all_of_them_on(self) -> None:
        self.binary("secret_request", ANSWER % ("false", 0))
        result = self.one({REQUEST: {"requests": [{"path": "/a"}, {"path": "/b"}], "keep_going": True}})
        self.assertEqual([entry["label"] for entry in result["requests"]], ["good", "bad"])
