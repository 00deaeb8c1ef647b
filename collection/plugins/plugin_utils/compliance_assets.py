# Copyright: the seguest project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Style and script of the compliance page; the page allows them by their hashes."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --text: #1b2430; --soft: #4a5666; --page: #f4f6f9; --card: #fff; --line: #d5dbe3;
  --pass: #14602c; --pass-back: #dff3e4; --fail: #8f1313; --fail-back: #fde3e1; --unknown: #6b4700;
  --unknown-back: #fdf0d0; --link: #0b57d0; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6eaf0; --soft: #aab4c2; --page: #11151b; --card: #1a2029; --line: #333d4a;
    --pass: #8fe0a6; --pass-back: #12351f; --fail: #ffb0a8; --fail-back: #4a1515; --unknown: #f5cf7a;
    --unknown-back: #3d2f0b; --link: #9cc2ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 78rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--text);
  background: var(--page); overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.1rem; margin: 0; display: inline; }
p { margin: .5rem 0; color: var(--soft); }
a { color: var(--link); }
code { font-size: .85em; }
.note { border-left: .25rem solid var(--unknown); background: var(--unknown-back); color: var(--text);
  padding: .5rem .75rem; border-radius: .25rem; }
.counts { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; }
.counts div { flex: 1 1 8rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .5rem .75rem; }
.counts dt { color: var(--soft); }
.counts dd { margin: 0; font-size: 1.75rem; font-weight: 700; line-height: 1.2; }
.counts .pass dd { color: var(--pass); }
.counts .fail dd { color: var(--fail); }
.counts .unknown dd { color: var(--unknown); }
section, details { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem;
  margin: 1rem 0; }
summary { cursor: pointer; display: flex; gap: .75rem; align-items: center; flex-wrap: wrap; }
table { border-collapse: collapse; width: 100%; margin: .75rem 0; font-size: .925rem; }
caption { text-align: left; font-weight: 700; padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .4rem .5rem; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 600; }
button { font: inherit; color: inherit; background: none; border: 0; padding: 0; text-align: left; cursor: pointer;
  text-decoration: underline dotted; }
th[aria-sort=ascending] button::after { content: " \\25b2"; }
th[aria-sort=descending] button::after { content: " \\25bc"; }
:focus-visible { outline: .15rem solid var(--link); outline-offset: .1rem; }
.badge { display: inline-block; white-space: nowrap; border-radius: 1rem; padding: 0 .6rem; font-weight: 600; }
.badge.pass { color: var(--pass); background: var(--pass-back); }
.badge.fail { color: var(--fail); background: var(--fail-back); }
.badge.unknown { color: var(--unknown); background: var(--unknown-back); }
#overview { table-layout: fixed; }
#overview thead th:first-child { width: 19%; }
#overview th, #overview td { padding: .4rem .25rem; }
#overview .badge { padding: 0 .35rem; font-size: .875rem; }
@media (max-width: 64rem) {
  table, tbody, tr, th, td, caption { display: block; }
  thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
  tr { border-top: 1px solid var(--line); padding: .4rem 0; }
  th, td { border: 0; padding: .15rem 0; }
  td::before { content: attr(data-label) ": "; color: var(--soft); } }
"""

# Sorts the overview by the column whose heading is pressed: up, down, and as it was.
SCRIPT = """
"use strict";
{
  const table = document.getElementById("overview"), body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const key = (row, at) => row.cells[at].dataset.key;
  headings.forEach((heading, at) => heading.querySelector("button").addEventListener("click", () => {
    const next = { ascending: "descending", descending: "none" }[heading.ariaSort] || "ascending";
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    if (next !== "none") heading.setAttribute("aria-sort", next);
    const rows = [...body.rows].sort((a, b) => a.dataset.at - b.dataset.at);
    if (next !== "none") {
      const sign = next === "ascending" ? 1 : -1;
      rows.sort((a, b) => sign * (key(a, at) < key(b, at) ? -1 : key(a, at) > key(b, at) ? 1 : 0));
    }
    body.append(...rows);
  }));
}
"""
