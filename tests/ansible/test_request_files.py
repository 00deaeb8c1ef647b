# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the role request keeps things."""

from __future__ import annotations

import unittest

import lab


def setUpModule() -> None:
    lab.import_collection()


class RequestFiles(unittest.TestCase):
    def files(self, *secrets: object) -> list[dict[str, object]]:
        from ansible_collections.seguest.pv.plugins.plugin_utils.request_files import with_files

        return with_files(secrets, "/r", "/s")  # type: ignore[arg-type]

    def test_files_are_called_after_the_label_or_else_the_name(self) -> None:
        self.assertEqual(
            self.files({"name": "cluster key"}, {"name": "x", "label": "guest1.example.com"}),
            [
                {"name": "cluster key", "label": "cluster_key", "path": "/r/cluster_key.request",
                 "secret_file": "/s/cluster_key"},
                {"name": "x", "label": "guest1.example.com", "path": "/r/guest1.example.com.request",
                 "secret_file": "/s/guest1.example.com"},
            ],
        )  # fmt: skip

    def test_what_is_given_stays(self) -> None:
        given = {"label": "a", "path": "/p", "secret_file": "/f", "image": "/i"}
        self.assertEqual(self.files(given), [given])

    def test_a_request_without_a_secret_file_gets_none(self) -> None:
        for secret in ({"label": "m", "type": "meta"}, {"label": "m", "secret": "eA=="}):
            self.assertNotIn("secret_file", self.files(secret)[0])

    def test_a_label_never_leads_out_of_the_folder(self) -> None:
        for label in ("../x", "a/b", "/x", ".hidden", "-rf", "", "a\nb", "x" * 101, "é"):
            with self.subTest(label), self.assertRaisesRegex(ValueError, "cannot be the name of a file"):
                self.files({"label": label, "name": label})

    def test_two_secrets_never_share_a_file(self) -> None:
        with self.assertRaisesRegex(ValueError, "positions 0 and 1 both have the label 'a_b'"):
            self.files({"name": "a b"}, {"label": "a_b"})


if __name__ == "__main__":
    unittest.main()
