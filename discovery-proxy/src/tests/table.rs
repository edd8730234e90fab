//! The hash table, compared with the standard library's map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::table::Table;

proptest! {
    #[test]
    fn table_equals_a_map_and_clones_do_not_change(
        steps in prop::collection::vec((0_u32..600, any::<bool>(), 0_u8..20), 1..2_000),
    ) {
        let (mut table, mut model) = (Table::default(), BTreeMap::new());
        let mut copies = Vec::new();
        for (at, (key, inserts, copy)) in steps.into_iter().enumerate() {
            if inserts {
                prop_assert_eq!(table.insert(key, at), model.insert(key, at));
            } else {
                prop_assert_eq!(table.remove(&key), model.remove(&key));
            }
            prop_assert_eq!(table.iter().count(), model.len());
            if copy == 0 {
                copies.push((table.clone(), model.clone()));
            }
        }
        copies.push((table, model));
        for (table, model) in copies {
            prop_assert_eq!((0..600).filter_map(|key| table.get(&key)).collect::<Vec<_>>(), model.values().collect::<Vec<_>>());
            prop_assert_eq!(table.iter().count(), model.len());
        }
    }
}

/// All keys hash to the same slot of the same shard, so they displace each other.
#[test]
fn keys_with_equal_hashes_are_kept_apart() {
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Same(u8);
    impl std::hash::Hash for Same {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            state.write_u8(1);
        }
    }
    let mut table = Table::default();
    (0..50).for_each(|key| assert_eq!(table.insert(Same(key), key), None));
    for gone in (0..50).step_by(3) {
        assert_eq!(table.remove(&Same(gone)), Some(gone));
    }
    for key in 0..50 {
        assert_eq!(table.get(&Same(key)).is_some(), key % 3 != 0, "{key}");
    }
}
