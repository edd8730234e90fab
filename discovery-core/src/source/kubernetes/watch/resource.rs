//! The two resources that are watched.

use serde::de::DeserializeOwned;

use super::{
    super::{
        model::{Service, Slice},
        picture::Place,
        store::Object,
    },
    wire::{Interner, Meta, WireService, WireSlice},
};
use crate::name::Namespace;

/// A resource of the API server, and how it is read.
pub(super) trait Resource: Object + Place + Send + Sync + 'static {
    /// As the API server writes it.
    type Wire: DeserializeOwned + Clone + Send + 'static;

    /// What a person calls it.
    const WHAT: &'static str;

    /// Which of them are asked for.
    const SELECTOR: Option<&'static str>;

    fn path(namespace: &Namespace) -> String;
    fn meta(wire: &Self::Wire) -> &Meta;
    fn read(wire: Self::Wire, interner: &mut Interner) -> Option<Self>;
}

impl Resource for Slice {
    type Wire = WireSlice;

    const WHAT: &'static str = "EndpointSlices";

    /// A slice of no Service is of no use.
    const SELECTOR: Option<&'static str> = Some("kubernetes.io/service-name");

    fn path(namespace: &Namespace) -> String {
        format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")
    }

    fn meta(wire: &WireSlice) -> &Meta {
        &wire.metadata
    }

    fn read(wire: WireSlice, interner: &mut Interner) -> Option<Self> {
        wire.read(interner)
    }
}

impl Resource for Service {
    type Wire = WireService;

    const WHAT: &'static str = "Services";

    const SELECTOR: Option<&'static str> = None;

    fn path(namespace: &Namespace) -> String {
        format!("/api/v1/namespaces/{namespace}/services")
    }

    fn meta(wire: &WireService) -> &Meta {
        &wire.metadata
    }

    fn read(wire: WireService, _: &mut Interner) -> Option<Self> {
        wire.read()
    }
}
