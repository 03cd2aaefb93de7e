//! The cluster's objects, and every change that was made to them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::resource::Resource;
use super::status::Failure;

/// Where an object is: its type, namespace (empty for cluster-wide ones) and name, in the order lists have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    group: &'static str,
    plural: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// All objects, in memory.
pub(super) struct Store {
    contents: Mutex<Contents>,
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct Contents {
    version: u64,
    objects: BTreeMap<Key, Value>,
    history: Vec<Change>,
}

/// One change, as a watch tells it.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub(super) event: &'static str,
    pub(super) key: Key,
    pub(super) object: Value,
}

// === impl Key ===

impl Key {
    pub(super) fn new(resource: &'static Resource, namespace: &str, name: &str) -> Self {
        let (group, plural) = (resource.group, resource.plural);
        Self { group, plural, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Whether it is of this type and in this namespace; an empty one stands for all.
    pub(super) fn is_in(&self, resource: &Resource, namespace: &str) -> bool {
        self.group == resource.group
            && self.plural == resource.plural
            && (namespace.is_empty() || self.namespace == namespace)
    }
}

// === impl Store ===

impl Store {
    pub(super) fn new() -> Self {
        Self { contents: Mutex::default(), version: watch::Sender::new(0) }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("no holder panics")
    }

    /// Tells when the version grows.
    pub(super) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(super) fn get(&self, key: &Key) -> Option<Value> {
        self.contents().objects.get(key).cloned()
    }

    /// The objects of a type in a namespace (empty: all), and the version they were read at.
    pub(super) fn list(&self, resource: &Resource, namespace: &str) -> (Vec<(Key, Value)>, u64) {
        let contents = self.contents();
        let found = contents.objects.iter().filter(|(key, _)| key.is_in(resource, namespace));
        (found.map(|(key, object)| (key.clone(), object.clone())).collect(), contents.version)
    }

    /// What changed after this version.
    pub(super) fn changes_since(&self, version: u64) -> Vec<Change> {
        let contents = self.contents();
        let start = contents.history.partition_point(|change| change.version <= version);
        contents.history[start..].to_vec()
    }

    /// Adds an object under a name that must be free.
    pub(super) fn create(
        &self,
        resource: &'static Resource,
        key: Key,
        mut object: Value,
        dry_run: bool,
    ) -> Result<Value, Failure> {
        let mut contents = self.contents();
        if contents.objects.contains_key(&key) {
            return Err(Failure::already_exists(resource, &key.name));
        }
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(Uuid::new_v4().to_string());
        metadata["creationTimestamp"] = json!(now());
        if resource.has_status {
            metadata["generation"] = json!(1);
        }
        if !dry_run {
            object = contents.record("ADDED", key, object);
            self.announce(&contents);
        }
        Ok(object)
    }

    /// Changes the object in one step: nothing else can change it between what `edit` reads and what it writes.
    pub(super) fn update(
        &self,
        resource: &'static Resource,
        key: Key,
        dry_run: bool,
        edit: impl FnOnce(&Value) -> Result<Value, Failure>,
    ) -> Result<Value, Failure> {
        let mut contents = self.contents();
        let current =
            contents.objects.get(&key).ok_or_else(|| Failure::not_found(resource, &key.name))?.clone();
        let mut object = edit(&current)?;
        for name in ["uid", "resourceVersion", "creationTimestamp", "generation"] {
            match current["metadata"].get(name) {
                Some(value) => object["metadata"][name] = value.clone(),
                None => drop(object["metadata"].as_object_mut().and_then(|metadata| metadata.remove(name))),
            }
        }
        if object["spec"] != current["spec"]
            && let Some(generation) = current["metadata"]["generation"].as_u64()
        {
            object["metadata"]["generation"] = json!(generation + 1);
        }
        // A write that changes nothing is no change: no new version, no event.
        if !dry_run && object != current {
            object = contents.record("MODIFIED", key, object);
            self.announce(&contents);
        }
        Ok(object)
    }

    /// Removes the object; with a namespace everything in it goes first.
    pub(super) fn delete(
        &self,
        resource: &'static Resource,
        key: &Key,
        dry_run: bool,
    ) -> Result<Value, Failure> {
        let mut contents = self.contents();
        let object =
            contents.objects.get(key).cloned().ok_or_else(|| Failure::not_found(resource, &key.name))?;
        if dry_run {
            return Ok(object);
        }
        if key.plural == "namespaces" {
            let inside: Vec<Key> =
                contents.objects.keys().filter(|inner| inner.namespace == key.name).cloned().collect();
            for inner in inside {
                contents.remove(&inner);
            }
        }
        let object = contents.remove(key).unwrap_or(object);
        self.announce(&contents);
        Ok(object)
    }

    /// Removes everything.
    pub(super) fn clear(&self) {
        let mut contents = self.contents();
        let keys: Vec<Key> = contents.objects.keys().cloned().collect();
        for key in keys {
            contents.remove(&key);
        }
        self.announce(&contents);
    }

    fn announce(&self, contents: &Contents) {
        self.version.send_replace(contents.version);
    }
}

// === impl Contents ===

impl Contents {
    fn record(&mut self, event: &'static str, key: Key, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(key.clone(), object.clone());
        self.history.push(Change { version: self.version, event, key, object: object.clone() });
        object
    }

    fn remove(&mut self, key: &Key) -> Option<Value> {
        let mut object = self.objects.remove(key)?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let change =
            Change { version: self.version, event: "DELETED", key: key.clone(), object: object.clone() };
        self.history.push(change);
        Some(object)
    }
}

/// The time as metadata states it: whole seconds, UTC.
pub(super) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
