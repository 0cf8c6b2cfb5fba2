//! Which topic and broker to ask next.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// A topic, by its place in the configuration, and a broker that has it.
pub(super) type Place = (usize, Arc<str>);

/// The polls under way. As many of them as there are places cover them all: the next one goes to
/// where the fewest are, and of those to where the last one began first.
#[derive(Debug, Default)]
pub(super) struct Polls(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    begun: u64,
    places: HashMap<Place, Load>,
}

#[derive(Debug, Default)]
struct Load {
    under_way: usize,
    last: u64,
}

/// A poll under way.
#[derive(Debug)]
pub(super) struct Poll<'a> {
    polls: &'a Polls,
    pub(super) place: Place,
}

impl Polls {
    /// Begins a poll at one of these places; `None` if there are none.
    pub(super) fn begin(&self, places: impl Iterator<Item = Place>) -> Option<Poll<'_>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let load = |place: &Place| match state.places.get(place) {
            Some(load) => (load.under_way, load.last),
            None => (0, 0),
        };
        let place = places.min_by_key(load)?;
        state.begun += 1;
        let begun = state.begun;
        let load = state.places.entry(place.clone()).or_default();
        (load.under_way, load.last) = (load.under_way + 1, begun);
        Some(Poll { polls: self, place })
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        let mut state = self.polls.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = state.places.get_mut(&self.place) {
            load.under_way = load.under_way.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_gets_its_turn() {
        let places: Vec<Place> = vec![(0, "a".into()), (0, "b".into()), (1, "a".into())];
        let polls = Polls::default();
        let begin = || polls.begin(places.iter().cloned()).unwrap();
        let three = [begin(), begin(), begin()];
        let mut covered: Vec<_> = three.iter().map(|poll| poll.place.clone()).collect();
        covered.sort();
        assert_eq!(covered, places);
        // One ends; the next goes there, though others have waited longer.
        let [one, two, _three] = three;
        let ended = two.place.clone();
        drop(two);
        assert_eq!(begin().place, ended);
        drop(one);
        // One at a time, all have their turn.
        let alone = Polls::default();
        let mut turns: Vec<_> = (0..3)
            .map(|_| alone.begin(places.iter().cloned()).unwrap().place.clone())
            .collect();
        turns.sort();
        assert_eq!(turns, places);
        assert!(alone.begin(std::iter::empty()).is_none());
    }
}
