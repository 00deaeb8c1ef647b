//! The best assignment of entries (rows) to queues (columns).

/// For each row its column, such that as many rows as possible have one; among those, earlier rows before later
/// ones; among those, each row in turn the lowest column. A column serves one row.
///
/// Rows are added one by one along augmenting paths, which keeps those that are matched already: so the set of
/// matched rows is the lexicographically first of the largest (rows form a transversal matroid). Then each row in
/// turn moves to its lowest column that still leaves all others matched.
pub fn best(rows: usize, columns: usize, edge: impl Fn(usize, usize) -> bool) -> Vec<Option<usize>> {
    let edges: Vec<Vec<usize>> = (0..rows).map(|r| (0..columns).filter(|c| edge(r, *c)).collect()).collect();
    let mut matching = Matching { edges, row_of: vec![None; columns], column_of: vec![None; rows] };
    for row in 0..rows {
        matching.augment(row, &mut vec![false; columns]);
    }
    let mut fixed = vec![false; columns];
    for row in 0..rows {
        matching.prefer_lowest(row, &mut fixed);
    }
    matching.column_of
}

#[derive(Clone)]
struct Matching {
    edges: Vec<Vec<usize>>,
    row_of: Vec<Option<usize>>,
    column_of: Vec<Option<usize>>,
}

impl Matching {
    /// Finds a column for a row, moving others where that helps; never uses a visited column.
    fn augment(&mut self, row: usize, visited: &mut [bool]) -> bool {
        let Some(columns) = self.edges.get(row).cloned() else { return false };
        for column in columns {
            match visited.get_mut(column) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            let holder = self.row_of.get(column).copied().flatten();
            if holder.is_none_or(|holder| self.augment(holder, visited)) {
                self.assign(row, column);
                return true;
            }
        }
        false
    }

    fn assign(&mut self, row: usize, column: usize) {
        if let Some(slot) = self.row_of.get_mut(column) {
            *slot = Some(row);
        }
        if let Some(slot) = self.column_of.get_mut(row) {
            *slot = Some(column);
        }
    }

    /// Moves a matched row to its lowest column for which all later rows stay matched, and fixes it there.
    fn prefer_lowest(&mut self, row: usize, fixed: &mut [bool]) {
        let Some(current) = self.column_of.get(row).copied().flatten() else { return };
        let options = self.edges.get(row).cloned().unwrap_or_default();
        for column in options.into_iter().filter(|column| *column <= current) {
            if fixed.get(column).copied().unwrap_or(true) {
                continue;
            }
            if column != current {
                let mut moved = self.clone();
                if let Some(slot) = moved.row_of.get_mut(current) {
                    *slot = None;
                }
                let holder = moved.row_of.get(column).copied().flatten();
                let mut visited = fixed.to_vec();
                if let Some(slot) = visited.get_mut(column) {
                    *slot = true;
                }
                if !holder.is_none_or(|holder| moved.augment(holder, &mut visited)) {
                    continue;
                }
                moved.assign(row, column);
                *self = moved;
            }
            if let Some(slot) = fixed.get_mut(column) {
                *slot = true;
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All assignments, best first by the stated order: most rows, earlier rows, lower columns.
    fn brute_force(rows: usize, columns: usize, edge: &impl Fn(usize, usize) -> bool) -> Vec<Option<usize>> {
        fn all(
            row: usize,
            rows: usize,
            columns: usize,
            edge: &impl Fn(usize, usize) -> bool,
            taken: &mut Vec<Option<usize>>,
            found: &mut Vec<Vec<Option<usize>>>,
        ) {
            if row == rows {
                found.push(taken.clone());
                return;
            }
            for column in (0..columns).map(Some).chain([None]) {
                if column.is_none_or(|c| edge(row, c) && !taken.contains(&Some(c))) {
                    taken.push(column);
                    all(row + 1, rows, columns, edge, taken, found);
                    taken.pop();
                }
            }
        }
        let mut found = Vec::new();
        all(0, rows, columns, edge, &mut Vec::new(), &mut found);
        let rank = |m: &Vec<Option<usize>>| {
            let missing: Vec<bool> = m.iter().map(Option::is_none).collect();
            (missing.iter().filter(|x| **x).count(), missing, m.clone())
        };
        found.into_iter().min_by_key(rank).unwrap()
    }

    #[test]
    fn it_equals_brute_force_on_random_tables() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for case in 0..3000 {
            let (rows, columns) = (1 + random() as usize % 5, 1 + random() as usize % 5);
            let table: Vec<bool> = (0..rows * columns).map(|_| random() % 100 < 45).collect();
            let edge = |r: usize, c: usize| table[r * columns + c];
            assert_eq!(
                best(rows, columns, edge),
                brute_force(rows, columns, &edge),
                "case {case}: {rows}x{columns} {table:?}"
            );
        }
    }

    #[test]
    fn a_choosy_entry_is_served_although_an_easy_one_comes_first() {
        // Greedy would give column 0 to row 0 and leave row 1 without.
        assert_eq!(best(2, 2, |r, c| r == 0 || c == 0), [Some(1), Some(0)]);
    }

    #[test]
    fn nothing_to_match_is_no_assignment() {
        assert_eq!(best(0, 3, |_, _| true), []);
        assert_eq!(best(2, 0, |_, _| true), [None, None]);
    }
}
