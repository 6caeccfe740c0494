//! How rounds belong together, and items.

use std::collections::BTreeMap;

use super::AnsweredRound;

/// The rounds of one conversation in ascending order, after round 0 if there is one.
pub(in crate::task) struct Course<'a, A> {
    pub rounds: Vec<AnsweredRound<'a, A>>,
}

impl<'a, A> Course<'a, A> {
    /// The courses of all conversations, in order of appearance.
    pub fn all(rounds: &[AnsweredRound<'a, A>]) -> Vec<Self> {
        let plain = rounds.iter().find(|round| round.condition.is_plain());
        let mut courses: Vec<Course<'a, A>> = Vec::new();
        for &round in rounds.iter().filter(|round| !round.condition.is_plain()) {
            let same = |course: &&mut Course<'a, A>| {
                course.rounds.last().is_some_and(|known| known.condition.same_course(round.condition))
            };
            match courses.iter_mut().find(same) {
                Some(course) => course.rounds.push(round),
                None => courses.push(Course { rounds: plain.copied().into_iter().chain([round]).collect() }),
            }
        }
        for course in &mut courses {
            course.rounds.sort_by_key(|round| round.condition.round);
        }
        courses
    }

    /// Round 0, if it was asked, and the last round.
    pub fn ends(&self) -> Option<(&AnsweredRound<'a, A>, &AnsweredRound<'a, A>)> {
        self.rounds.first().filter(|round| round.condition.is_plain()).zip(self.rounds.last())
    }
}

/// All items, then those of each category where there are several; each part by its rows, `[n]`.
pub(super) fn parts<'i>(categories: impl Iterator<Item = &'i str>) -> Vec<(Option<String>, Vec<usize>)> {
    let (mut all, mut by_category) = (Vec::new(), BTreeMap::<&str, Vec<usize>>::new());
    for (row, category) in categories.enumerate() {
        all.push(row);
        by_category.entry(category).or_default().push(row);
    }
    let mut parts = vec![(None, all)];
    if by_category.len() > 1 {
        parts.extend(by_category.into_iter().map(|(name, rows)| (Some(name.to_owned()), rows)));
    }
    parts
}
