//! Who an object belongs to. Objects belong to one life of a Pipeline: when it is made again under its name, those of the one before are still there
//! until the garbage collector comes.

use floe_crds::pipeline::Pipeline;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use crate::labels;

/// `object` as the controller of what it owns. Deleted in the foreground, it waits for that.
pub fn reference<K: Resource<DynamicType = ()>>(object: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// As `reference`, beside the controller that the object has or will have.
pub fn of_many<K: Resource<DynamicType = ()>>(object: &K) -> OwnerReference {
    OwnerReference { controller: None, ..reference(object) }
}

/// As `reference`, for an object that nobody deletes in the foreground: to block that is a right of its own.
pub fn reference_unblocked<K: Resource<DynamicType = ()>>(object: &K) -> OwnerReference {
    OwnerReference { block_owner_deletion: None, ..reference(object) }
}

/// The owners of `object`, and one more.
pub fn with(object: &impl Resource, owner: OwnerReference) -> Vec<OwnerReference> {
    object.meta().owner_references.iter().flatten().cloned().chain([owner]).collect()
}

/// True if `object` belongs to `owner`, in this life of both.
pub fn is_owned_by(object: &impl Resource, owner: &impl Resource) -> bool {
    let uid = owner.meta().uid.as_ref();
    object.meta().owner_references.iter().flatten().any(|reference| Some(&reference.uid) == uid)
}

/// The object that controls `object`.
pub fn controller(object: &impl Resource) -> Option<&OwnerReference> {
    object.meta().owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// The object that `object` belongs to.
pub fn owner(object: &impl Resource) -> Option<&OwnerReference> {
    controller(object).or_else(|| object.meta().owner_references.as_ref()?.first())
}

/// The Pipeline that controls `object`, as it was when it was made.
pub fn pipeline(object: &impl Resource) -> Option<&OwnerReference> {
    controller(object).filter(|owner| owner.kind == Pipeline::kind(&()) && owner.api_version == Pipeline::api_version(&()))
}

/// True if `object` was made for an earlier Pipeline of this name, and goes with it.
pub fn is_of_earlier_life(object: &impl Resource, of: &Pipeline) -> bool {
    pipeline(object).is_some_and(|owner| owner.name == of.name_any() && Some(&owner.uid) != of.uid().as_ref())
}

/// Whose `found` is, for someone who wants it to be as `wanted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The owner of `wanted` owns it.
    Ours,
    /// It was made for an owner of the same name that is no more, and goes as soon as the garbage collector comes.
    OfEarlierLife,
    /// It carries our labels and has no owner any more.
    Orphan,
    /// Someone else made it.
    Foreign,
}

/// Whose `found` is, under the name of `wanted`.
pub fn claim<K: Resource>(found: &K, wanted: &K) -> Claim {
    let who = |owner: &OwnerReference| (owner.api_version.clone(), owner.kind.clone(), owner.name.clone());
    let value = |object: &K, label: &str| object.labels().get(label).cloned();
    match (owner(found), owner(wanted)) {
        (Some(of), Some(ours)) if of.uid == ours.uid => Claim::Ours,
        (Some(of), Some(ours)) if who(of) == who(ours) => Claim::OfEarlierLife,
        (None, None) => Claim::Ours,
        (None, Some(_)) => {
            let is_ours = |label: &&str| value(found, label).is_some() && value(found, label) == value(wanted, label);
            if [labels::MANAGED_BY, labels::PIPELINE].iter().all(is_ours) { Claim::Orphan } else { Claim::Foreign }
        }
        _ => Claim::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{api::core::v1::ServiceAccount, apimachinery::pkg::apis::meta::v1::ObjectMeta};
    use serde_json::json;

    use super::*;

    fn shop(uid: &str) -> Pipeline {
        let mut pipeline = Pipeline::new("shop", serde_json::from_value(json!({"storage": {"uri": "s3://lake/shop"}})).unwrap());
        pipeline.metadata.uid = Some(uid.to_string());
        pipeline
    }

    fn account(owner: Option<OwnerReference>, labels: &[(&str, &str)]) -> ServiceAccount {
        let mut account = ServiceAccount::default();
        account.metadata.owner_references = owner.map(|owner| vec![owner]);
        account.metadata.labels = Some(labels.iter().map(|(label, value)| (label.to_string(), value.to_string())).collect());
        account
    }

    #[test]
    fn objects_belong_to_one_life_of_their_pipeline() {
        let now = shop("now");
        let of = |owner| is_of_earlier_life(&account(owner, &[]), &now);
        assert!(of(Some(reference(&shop("before")))));
        assert!(!of(Some(reference(&now))) && !of(None), "by hand");
        let other = OwnerReference { name: "other".to_string(), ..reference(&shop("before")) };
        assert!(!of(Some(other)), "not ours at all");
        assert!(!of(Some(OwnerReference { controller: None, ..reference(&shop("before")) })), "no controller");
        let both = account(Some(reference(&shop("before"))), &[]);
        let both =
            ServiceAccount { metadata: ObjectMeta { owner_references: Some(with(&both, reference(&now))), ..both.metadata }, ..both };
        assert!(is_owned_by(&both, &now) && is_owned_by(&both, &shop("before")) && !is_owned_by(&both, &shop("later")));
    }

    #[test]
    fn nothing_of_others_is_taken_over() {
        let ours = [(labels::MANAGED_BY, labels::OPERATOR), (labels::PIPELINE, "shop")];
        let wanted = account(Some(reference(&shop("now"))), &ours);
        let claim = |owner, labels: &[(&str, &str)]| claim(&account(owner, labels), &wanted);
        assert_eq!(claim(Some(reference(&shop("now"))), &[]), Claim::Ours);
        assert_eq!(claim(Some(reference(&shop("before"))), &ours), Claim::OfEarlierLife, "the garbage collector has not come yet");
        assert_eq!(claim(None, &ours), Claim::Orphan, "with its Pipeline");
        assert_eq!([claim(None, &[]), claim(None, &[(labels::MANAGED_BY, "Helm")])], [Claim::Foreign; 2]);
        let of_deployment =
            OwnerReference { api_version: "apps/v1".to_string(), kind: "Deployment".to_string(), ..reference(&shop("now")) };
        assert_eq!(claim(Some(OwnerReference { uid: "d".to_string(), ..of_deployment }), &ours), Claim::Foreign);
    }
}
