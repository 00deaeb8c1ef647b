"use strict";
// Copyright: the seguest project
// SPDX-License-Identifier: GPL-3.0-or-later
// The page is whole without this. It sorts, filters, and unfolds the guest that a link leads to.
{
  // By the column whose heading is pressed: up, down, and as it was.
  const key = (row, at) => row.cells[at].dataset.key ?? row.cells[at].textContent;
  for (const table of document.querySelectorAll("table.sorts")) {
    const headings = [...table.tHead.rows[0].cells], body = table.tBodies[0];
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

  const form = document.getElementById("filter"), [text, verdict, shown] = form.elements;
  const guests = [...document.querySelectorAll("tr[data-guest]")].map((row) => {
    const details = document.getElementById(`guest-${row.dataset.guest}`);
    const words = `${row.textContent} ${details.textContent}`.toLowerCase();
    return { row, details, words, verdict: row.dataset.verdict };
  });
  const filter = () => {
    const wanted = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const guest of guests) {
      const match = (!verdict.value || verdict.value === guest.verdict) && wanted.every((word) => guest.words.includes(word));
      guest.row.hidden = guest.details.hidden = !match;
      count += match;
    }
    for (const table of document.querySelectorAll("table.sorts")) {
      table.closest("section").hidden = ![...table.tBodies[0].rows].some((row) => !row.hidden);
    }
    shown.value = count < guests.length ? `${count} of ${guests.length} guests` : "";
  };
  form.hidden = guests.length < 2;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  // Browsers keep what was typed over a reload.
  filter();

  const unfold = () => {
    const details = document.getElementById(location.hash.slice(1));
    if (details instanceof HTMLDetailsElement) details.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();
}
