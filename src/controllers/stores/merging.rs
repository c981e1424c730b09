//! One store fed by the watches of one or several namespaces.
//!
//! Its first list is complete when all of theirs are. A later list (after an outage) replaces only that namespace's
//! objects, and what vanished meanwhile is told like any other deletion.

use std::collections::HashSet;
use std::hash::Hash;

use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;

pub(super) struct Merging<K: Resource + Clone + 'static>
where
    K::DynamicType: Eq + Hash + Clone,
{
    writer: Writer<K>,
    scopes: Vec<Scope<K>>,
    /// Objects of first lists, until all of them are complete.
    first: Option<Vec<K>>,
}

struct Scope<K: Resource>
where
    K::DynamicType: Eq + Hash + Clone,
{
    /// The list that is under way.
    listing: Option<Vec<K>>,
    known: HashSet<ObjectRef<K>>,
    listed: bool,
}

impl<K> Merging<K>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Default + Eq + Hash + Clone,
{
    pub fn new(writer: Writer<K>, scopes: usize) -> Self {
        let scopes = (0..scopes).map(|_| Scope { listing: None, known: HashSet::new(), listed: false }).collect();
        Self { writer, scopes, first: Some(Vec::new()) }
    }

    /// Applies an event and gives back the objects that it touched, those that a new list no longer has included.
    pub fn apply(&mut self, scope: usize, event: Event<K>) -> Vec<K> {
        match event {
            Event::Init => {
                self.scopes[scope].listing = Some(Vec::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                self.scopes[scope].listing.get_or_insert_default().push(object);
                Vec::new()
            }
            Event::InitDone => self.listed(scope),
            Event::Apply(object) => {
                self.scopes[scope].known.insert(ObjectRef::from_obj(&object));
                self.writer.apply_watcher_event(&Event::Apply(object.clone()));
                vec![object]
            }
            Event::Delete(object) => {
                self.scopes[scope].known.remove(&ObjectRef::from_obj(&object));
                self.writer.apply_watcher_event(&Event::Delete(object.clone()));
                vec![object]
            }
        }
    }

    /// A scope that may not be listed: it has nothing, and keeps nobody waiting.
    pub fn without(&mut self, scope: usize) {
        self.scopes[scope].listing = Some(Vec::new());
        self.listed(scope);
    }

    fn listed(&mut self, scope: usize) -> Vec<K> {
        let listing = self.scopes[scope].listing.take().unwrap_or_default();
        let now: HashSet<ObjectRef<K>> = listing.iter().map(ObjectRef::from_obj).collect();
        let before = std::mem::replace(&mut self.scopes[scope].known, now);
        self.scopes[scope].listed = true;
        if let Some(first) = &mut self.first {
            first.extend(listing.iter().cloned());
            if self.scopes.iter().all(|scope| scope.listed) {
                self.writer.apply_watcher_event(&Event::Init);
                for object in self.first.take().unwrap_or_default() {
                    self.writer.apply_watcher_event(&Event::InitApply(object));
                }
                self.writer.apply_watcher_event(&Event::InitDone);
            }
            return listing;
        }
        let store = self.writer.as_reader();
        let mut touched = Vec::new();
        for gone in before.difference(&self.scopes[scope].known) {
            touched.extend(store.get(gone).map(|object| (*object).clone()));
        }
        for object in &touched {
            self.writer.apply_watcher_event(&Event::Delete(object.clone()));
        }
        for object in listing {
            self.writer.apply_watcher_event(&Event::Apply(object.clone()));
            touched.push(object);
        }
        touched
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use kube::runtime::reflector;

    use super::*;

    fn object(namespace: &str, name: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.namespace = Some(namespace.to_owned());
        object.metadata.name = Some(name.to_owned());
        object
    }

    fn list(merging: &mut Merging<ConfigMap>, scope: usize, objects: &[ConfigMap]) -> Vec<String> {
        merging.apply(scope, Event::Init);
        for object in objects {
            merging.apply(scope, Event::InitApply(object.clone()));
        }
        let mut names: Vec<String> = merging.apply(scope, Event::InitDone).iter().map(ResourceExt::name_any).collect();
        names.sort();
        names
    }

    #[test]
    fn what_vanished_during_an_outage_is_told_and_gone() {
        let (store, writer) = reflector::store();
        let mut merging = Merging::new(writer, 1);
        assert_eq!(list(&mut merging, 0, &[object("a", "stays"), object("a", "goes")]), ["goes", "stays"]);
        assert_eq!(store.len(), 2);
        assert_eq!(list(&mut merging, 0, &[object("a", "stays")]), ["goes", "stays"]);
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_list_of_one_namespace_leaves_the_others_alone() {
        let (store, writer) = reflector::store();
        let mut merging = Merging::new(writer, 2);
        list(&mut merging, 0, &[object("a", "one")]);
        assert_eq!(store.len(), 0, "half a cache is no cache");
        list(&mut merging, 1, &[object("b", "two")]);
        assert_eq!(store.len(), 2);
        list(&mut merging, 0, &[]);
        assert_eq!(store.state().iter().map(|object| object.name_any()).collect::<Vec<_>>(), ["two"]);
    }
}
