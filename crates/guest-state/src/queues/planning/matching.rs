//! The best assignment of entries (rows) to queues (columns).

use std::collections::VecDeque;

/// What it is worth, before all else, that a row has a certain column.
pub type Worth = i64;

/// For each row its column. The sum of what that is worth is the largest; of those assignments it is one in which as
/// many rows as possible have a column; of those, earlier rows rather than later ones; of those, each row in turn has
/// the lowest column. A column serves one row, and only one assignment is the best.
///
/// Rows are added one by one, each along the best alternating path, which keeps the assignment the best for the rows
/// so far. Then each row in turn moves to its lowest column that leaves worth and rows as they are.
pub fn best(rows: usize, columns: usize, worth: impl Fn(usize, usize) -> Option<Worth>) -> Vec<Option<usize>> {
    let mut matching = Matching {
        edges: vec![Vec::new(); rows],
        edges_of_column: vec![Vec::new(); columns],
        column_of: vec![None; rows],
        row_of: vec![None; columns],
    };
    let mut worths = (Worth::MAX, Worth::MIN);
    for row in 0..rows {
        for column in 0..columns {
            let Some(worth) = worth(row, column) else { continue };
            matching.edges[row].push((column, worth));
            matching.edges_of_column[column].push((row, worth));
            worths = (worths.0.min(worth), worths.1.max(worth));
        }
    }
    for row in 0..rows {
        matching.add(row);
    }
    for row in 0..rows {
        matching.prefer_lowest(row, worths.0 == worths.1);
    }
    matching.column_of.into_iter().map(|assigned| assigned.map(|(column, _)| column)).collect()
}

struct Matching {
    /// For each row its columns in ascending order, with the worth of each.
    edges: Vec<Vec<(usize, Worth)>>,
    /// The same for each column.
    edges_of_column: Vec<Vec<(usize, Worth)>>,
    column_of: Vec<Option<(usize, Worth)>>,
    row_of: Vec<Option<usize>>,
}

/// What is gained if a row gives up its column, and to which row it gives it, with the worth there. The first row of a
/// path gives its own to nobody.
type GivesUp = (Worth, Option<(usize, Worth)>);

/// Alternating paths from a row that needs a column: each next row gives its column to the one before.
struct Paths {
    /// For each row that was reached.
    reached: Vec<Option<GivesUp>>,
    /// The best end at a free column: gain, the row that takes it, the column, the worth there.
    end: Option<(Worth, usize, usize, Worth)>,
}

impl Matching {
    /// Adds a row to the best assignment of the earlier ones.
    fn add(&mut self, row: usize) {
        let paths = self.paths(row, |_| true);
        let given_up = |(other, reached): (usize, &Option<(Worth, _)>)| Some((reached.as_ref()?.0, other));
        let evicted = paths.reached.iter().enumerate().filter(|(other, _)| *other != row).filter_map(given_up).max();
        match (paths.end, evicted) {
            (Some((gain, last, column, worth)), evicted) if gain >= evicted.map_or(0, |(gain, _)| gain.max(0)) => {
                self.follow(&paths, last, (column, worth));
            }
            (_, Some((gain, other))) if gain > 0 => {
                let given = self.column_of[other].take();
                if let (Some((column, _)), Some((_, Some((to, worth))))) = (given, paths.reached[other]) {
                    self.follow(&paths, to, (column, worth));
                }
            }
            _ => {}
        }
    }

    /// Moves a row to its lowest column for which worth and rows stay the same, and the columns of earlier rows too.
    fn prefer_lowest(&mut self, row: usize, uniform: bool) {
        let Some((current, worth)) = self.column_of[row] else { return };
        let before = (self.column_of.clone(), self.row_of.clone());
        (self.column_of[row], self.row_of[current]) = (None, None);
        // Where all is worth the same, a free column gains the others nothing.
        let gained = if uniform { 0 } else { self.fill(current, row) };
        for at in 0..self.edges[row].len() {
            let (column, new_worth) = self.edges[row][at];
            if column >= current {
                break;
            }
            let missing = worth - new_worth - gained;
            match self.row_of[column] {
                None if missing == 0 => {}
                Some(holder) if holder > row => {
                    let held = self.column_of[holder].map_or(0, |(_, worth)| worth);
                    let paths = self.paths(holder, |other| other > row);
                    match paths.end {
                        Some((gain, last, end, worth)) if gain - held == missing => {
                            self.follow(&paths, last, (end, worth));
                        }
                        _ => continue,
                    }
                }
                _ => continue,
            }
            (self.column_of[row], self.row_of[column]) = (Some((column, new_worth)), Some(row));
            return;
        }
        (self.column_of, self.row_of) = before;
    }

    /// The best paths from a row through rows that may move, each to where it gains most.
    fn paths(&self, start: usize, may_move: impl Fn(usize) -> bool) -> Paths {
        let mut paths = Paths { reached: vec![None; self.edges.len()], end: None };
        paths.reached[start] = Some((0, None));
        let mut queue = VecDeque::from([start]);
        while let Some(row) = queue.pop_front() {
            let Some((gain, _)) = paths.reached[row] else { continue };
            let own = self.column_of[row].map(|(column, _)| column);
            for &(column, worth) in self.edges[row].iter().filter(|(column, _)| Some(*column) != own) {
                let Some(holder) = self.row_of[column] else {
                    if paths.end.is_none_or(|(best, ..)| gain + worth > best) {
                        paths.end = Some((gain + worth, row, column, worth));
                    }
                    continue;
                };
                let given_up = self.column_of[holder].map_or(0, |(_, worth)| worth);
                let gain = gain + worth - given_up;
                let better = paths.reached[holder].is_none_or(|(known, _)| gain > known);
                if better && holder != start && may_move(holder) {
                    paths.reached[holder] = Some((gain, Some((row, worth))));
                    queue.push_back(holder);
                }
            }
        }
        paths
    }

    /// Gives `last` the column, the row before it the one that it leaves, and so on to the first.
    fn follow(&mut self, paths: &Paths, last: usize, given: (usize, Worth)) {
        let (mut row, mut given) = (last, given);
        loop {
            let left = self.column_of[row].replace(given);
            self.row_of[given.0] = Some(row);
            let (Some((left, _)), Some((_, Some((to, worth))))) = (left, paths.reached[row]) else { return };
            (row, given) = (to, (left, worth));
        }
    }

    /// Lets rows later than `after` use a column that became free, where that gains them something. Gives the gain.
    fn fill(&mut self, column: usize, after: usize) -> Worth {
        // For each column that was reached: what is gained if it becomes free, and which row leaves it for what.
        let mut reached: Vec<Option<(Worth, usize, usize, Worth)>> = vec![None; self.row_of.len()];
        let mut queue = VecDeque::from([(column, 0)]);
        while let Some((free, gain)) = queue.pop_front() {
            if free != column && reached[free].is_none_or(|(best, ..)| best > gain) {
                continue;
            }
            for &(row, worth) in self.edges_of_column[free].iter().filter(|(row, _)| *row > after) {
                let Some((left, left_worth)) = self.column_of[row].filter(|(left, _)| *left != free) else { continue };
                let gain = gain + worth - left_worth;
                if left != column && reached[left].is_none_or(|(best, ..)| gain > best) {
                    reached[left] = Some((gain, row, free, worth));
                    queue.push_back((left, gain));
                }
            }
        }
        let gain_of = |(at, reached): (usize, &Option<(Worth, usize, usize, Worth)>)| Some((reached.as_ref()?.0, at));
        let Some((gain, mut left)) = reached.iter().enumerate().filter_map(gain_of).max().filter(|(gain, _)| *gain > 0)
        else {
            return 0;
        };
        self.row_of[left] = None;
        while let Some((_, row, taken, worth)) = reached[left] {
            (self.column_of[row], self.row_of[taken]) = (Some((taken, worth)), Some(row));
            left = taken;
        }
        gain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::planning::random::Random;

    /// All assignments, the best of them by the stated order.
    fn brute_force(rows: usize, columns: usize, worth: &impl Fn(usize, usize) -> Option<Worth>) -> Vec<Option<usize>> {
        fn all(
            (row, rows, columns): (usize, usize, usize),
            worth: &impl Fn(usize, usize) -> Option<Worth>,
            taken: &mut Vec<Option<usize>>,
            found: &mut Vec<Vec<Option<usize>>>,
        ) {
            if row == rows {
                found.push(taken.clone());
                return;
            }
            for column in (0..columns).map(Some).chain([None]) {
                if column.is_none_or(|c| worth(row, c).is_some() && !taken.contains(&Some(c))) {
                    taken.push(column);
                    all((row + 1, rows, columns), worth, taken, found);
                    taken.pop();
                }
            }
        }
        let mut found = Vec::new();
        all((0, rows, columns), worth, &mut Vec::new(), &mut found);
        let rank = |m: &Vec<Option<usize>>| {
            let sum: Worth = m.iter().enumerate().filter_map(|(r, c)| worth(r, (*c)?)).sum();
            let missing: Vec<bool> = m.iter().map(Option::is_none).collect();
            (-sum, missing.iter().filter(|x| **x).count(), missing, m.clone())
        };
        found.into_iter().min_by_key(rank).unwrap()
    }

    #[test]
    fn it_equals_brute_force_on_random_tables() {
        let mut random = Random::new(1);
        for case in 0..6000 {
            let (rows, columns) = (1 + random.below(5), 1 + random.below(5));
            let worths: &[Worth] = [&[0][..], &[0, 1], &[0, 1, 100], &[0, 1, 2, 3]][case % 4];
            let edge = |random: &mut Random| (random.below(100) < 50).then(|| worths[random.below(worths.len())]);
            let table: Vec<Option<Worth>> = (0..rows * columns).map(|_| edge(&mut random)).collect();
            let worth = |r: usize, c: usize| table[r * columns + c];
            assert_eq!(
                best(rows, columns, worth),
                brute_force(rows, columns, &worth),
                "case {case}: {rows}x{columns} {table:?}"
            );
        }
    }

    #[test]
    fn a_choosy_entry_is_served_although_an_easy_one_comes_first() {
        // Greedy would give column 0 to row 0 and leave row 1 without.
        assert_eq!(best(2, 2, |r, c| (r == 0 || c == 0).then_some(0)), [Some(1), Some(0)]);
    }

    #[test]
    fn worth_goes_before_the_number_of_rows() {
        let worth = |r: usize, c: usize| [[Some(1), Some(0)], [Some(0), None]][r][c];
        assert_eq!(best(2, 2, worth), [Some(0), None]);
    }

    #[test]
    fn nothing_to_match_is_no_assignment() {
        assert_eq!(best(0, 3, |_, _| Some(0)), []);
        assert_eq!(best(2, 0, |_, _| Some(0)), [None, None]);
    }
}
