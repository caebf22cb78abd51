//! From an input to a verdict.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision as Answer, Entities, Entity, EntityId,
    EntityTypeName, EntityUid, PolicyId, PolicySet, Request, Response, RestrictedExpression,
};
use proto::v1::Verdict;

use super::call::PrincipalKind;
use super::data::Data;
use super::input::{DecisionInput, Seen};
use super::policies::{self, Annotations, Policies, PolicyFile, PolicyMistake};

/// Most bytes that the ids of determining policies may have in sum: a leaf must hold them.
const MAX_POLICY_IDS_BYTES: usize = 32 << 10;

/// What the policies say of a call.
///
/// A policy that cannot be evaluated denies, whatever the others say, because the engine skips it and it may
/// have been a forbid. So do more determining policies than a leaf can name, as an evaluation error without ids. Then a determining forbid blocks; when every determining forbid carries
/// `@approval("group")` and the others allow, it holds instead. Without a permit the call is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What is to be done with the call.
    pub verdict: Verdict,
    /// Determining policies, sorted: the permits that allow, the forbids that block or hold, or the policies
    /// that could not be evaluated.
    pub policy_ids: Vec<String>,
    /// Some policy could not be evaluated, or too many decided.
    pub evaluation_error: bool,
    /// `@reason` of the first determining forbid that has one, in the order of `policy_ids`.
    pub reason: Option<String>,
    /// Groups of which one person each must approve, sorted; empty unless the verdict is HOLD.
    pub approval_groups: Vec<String>,
}

/// Compiled policies and the static part of the entities.
#[derive(Debug)]
pub(crate) struct Engine {
    policies: PolicySet,
    annotations: BTreeMap<String, Annotations>,
    /// Action entities with their groups, by id.
    actions: BTreeMap<String, Entity>,
    open_servers: BTreeSet<String>,
    types: Types,
}

/// Names of the entity types of the schema.
#[derive(Debug)]
struct Types {
    user: EntityTypeName,
    group: EntityTypeName,
    role: EntityTypeName,
    server: EntityTypeName,
    tool: EntityTypeName,
    prompt: EntityTypeName,
    resource: EntityTypeName,
}

/// A request could not be put into Cedar's terms.
struct Inexpressible;

impl Engine {
    pub(crate) fn new(
        files: &[PolicyFile<'_>],
        schema: &str,
        open_servers: BTreeSet<String>,
    ) -> Result<Self, Vec<PolicyMistake>> {
        let Policies { set, annotations, schema } = policies::read(files, schema)?;
        let broken = |message: String| vec![PolicyMistake { file: None, offset: 0, message }];
        let actions = schema.action_entities().map_err(|error| broken(error.to_string()))?;
        let actions: BTreeMap<String, Entity> = actions
            .iter()
            .map(|action| (AsRef::<str>::as_ref(action.uid().id()).to_owned(), action.clone()))
            .collect();
        if !actions.contains_key("other") {
            return Err(broken("the schema declares no action \"other\"".to_owned()));
        }
        let types = Types::new().map_err(broken)?;
        Ok(Engine { policies: set, annotations, actions, open_servers, types })
    }

    pub(crate) fn decide(&self, input: &DecisionInput) -> Decision {
        let decision = self.judge(input);
        let bytes: usize = decision.policy_ids.iter().map(String::len).sum();
        if bytes > MAX_POLICY_IDS_BYTES { Decision::error(Vec::new()) } else { decision }
    }

    fn judge(&self, input: &DecisionInput) -> Decision {
        let Ok((request, entities)) = self.request(&input.call) else {
            return Decision::error(Vec::new());
        };
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        let erring = erring(&response);
        if !erring.is_empty() {
            return Decision::error(erring);
        }
        let ids = reasons(&response);
        match response.decision() {
            Answer::Allow => Decision::of(Verdict::Allow, ids),
            Answer::Deny if ids.is_empty() => Decision::of(Verdict::Deny, ids),
            Answer::Deny => self.forbidden(&request, &entities, ids),
        }
    }

    fn forbidden(&self, request: &Request, entities: &Entities, ids: Vec<String>) -> Decision {
        let annotations = || ids.iter().filter_map(|id| self.annotations.get(id));
        let reason = annotations().find_map(|said| said.reason.clone());
        let groups: Option<BTreeSet<String>> =
            annotations().map(|said| said.approval.clone()).collect();
        let released = match groups {
            Some(groups) => {
                let mut others = self.policies.clone();
                let removed = ids.iter().all(|id| others.remove_static(PolicyId::new(id)).is_ok());
                let response = Authorizer::new().is_authorized(request, &others, entities);
                let erring = erring(&response);
                if !erring.is_empty() {
                    return Decision::error(erring);
                }
                (removed && response.decision() == Answer::Allow).then_some(groups)
            }
            None => None,
        };
        let verdict = if released.is_some() { Verdict::Hold } else { Verdict::Block };
        Decision {
            reason,
            approval_groups: released.into_iter().flatten().collect(),
            ..Decision::of(verdict, ids)
        }
    }

    fn request(&self, call: &Seen) -> Result<(Request, Entities), Inexpressible> {
        let types = &self.types;
        let action = self.actions.get(&call.method).filter(|_| is_method(&call.method));
        let action = action.or_else(|| self.actions.get("other")).ok_or(Inexpressible)?;
        let server = uid(&types.server, &call.server);
        let resource = self.resource(call, &server)?;
        let user = user(types, call)?;
        let context = Context::from_pairs([
            ("arguments".to_owned(), cedar(&Data::Record(call.arguments.clone()))?),
            ("auth".to_owned(), RestrictedExpression::new_string(call.auth.to_owned())),
            ("facts".to_owned(), cedar(&call.facts_data())?),
            ("method".to_owned(), RestrictedExpression::new_string(call.method.clone())),
            ("time_ms".to_owned(), RestrictedExpression::new_long(call.time_ms)),
        ])
        .map_err(|_| Inexpressible)?;
        let request = Request::new(user.uid(), action.uid(), resource.uid(), context, None)
            .map_err(|_| Inexpressible)?;
        let mut entities = vec![user, action.clone()];
        if resource.uid() != server {
            entities.push(self.server(call, server)?);
        }
        entities.push(resource);
        let entities = Entities::from_entities(entities, None).map_err(|_| Inexpressible)?;
        Ok((request, entities))
    }

    /// What the method acts on: a tool, prompt or resource in the server, or the server itself.
    fn resource(&self, call: &Seen, server: &EntityUid) -> Result<Entity, Inexpressible> {
        let (kind, attribute) = match call.method.as_str() {
            "tools/call" => (&self.types.tool, "name"),
            "prompts/get" => (&self.types.prompt, "name"),
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                (&self.types.resource, "uri")
            }
            _ => return self.server(call, server.clone()),
        };
        let name = call.name.clone().unwrap_or_default();
        let id = uid(kind, &format!("{}/{name}", call.server));
        entity(id, [(attribute, RestrictedExpression::new_string(name))], [server.clone()])
    }

    fn server(&self, call: &Seen, server: EntityUid) -> Result<Entity, Inexpressible> {
        let open = self.open_servers.contains(&call.server);
        entity(server, [("open", RestrictedExpression::new_bool(open))], [])
    }
}

impl Decision {
    fn of(verdict: Verdict, policy_ids: Vec<String>) -> Self {
        Decision {
            verdict,
            policy_ids,
            evaluation_error: false,
            reason: None,
            approval_groups: Vec::new(),
        }
    }

    fn error(policy_ids: Vec<String>) -> Self {
        Decision { evaluation_error: true, ..Decision::of(Verdict::Deny, policy_ids) }
    }
}

impl Types {
    fn new() -> Result<Self, String> {
        let name = |name: &str| EntityTypeName::from_str(name).map_err(|error| error.to_string());
        Ok(Types {
            user: name("User")?,
            group: name("Group")?,
            role: name("Role")?,
            server: name("Server")?,
            tool: name("Tool")?,
            prompt: name("Prompt")?,
            resource: name("Resource")?,
        })
    }
}

/// The schema also declares groups of actions and `other`, which no caller may name.
fn is_method(method: &str) -> bool {
    proto::names::is_known_method(method)
}

fn user(types: &Types, call: &Seen) -> Result<Entity, Inexpressible> {
    let principal = &call.principal;
    // Every other id has a `#`, so nobody else can be called so.
    let id = match principal.kind {
        PrincipalKind::Unauthenticated => "unauthenticated".to_owned(),
        _ => format!("{}#{}", principal.issuer, principal.subject),
    };
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let groups = principal.groups.iter().map(|group| uid(&types.group, group));
    let roles = principal.roles.iter().map(|role| uid(&types.role, role));
    entity(
        uid(&types.user, &id),
        [
            ("issuer", text(&principal.issuer)),
            ("kind", text(principal.kind.as_str())),
            ("subject", text(&principal.subject)),
        ],
        groups.chain(roles),
    )
}

fn entity<const N: usize>(
    id: EntityUid,
    attributes: [(&str, RestrictedExpression); N],
    parents: impl IntoIterator<Item = EntityUid>,
) -> Result<Entity, Inexpressible> {
    let attributes: HashMap<String, RestrictedExpression> =
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let parents: HashSet<EntityUid> = parents.into_iter().collect();
    Entity::new(id, attributes, parents).map_err(|_| Inexpressible)
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn cedar(data: &Data) -> Result<RestrictedExpression, Inexpressible> {
    data.to_cedar().map_err(|_| Inexpressible)
}

fn reasons(response: &Response) -> Vec<String> {
    sorted(response.diagnostics().reason().map(ToString::to_string))
}

fn erring(response: &Response) -> Vec<String> {
    sorted(response.diagnostics().errors().map(|error| match error {
        AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
    }))
}

fn sorted(ids: impl Iterator<Item = String>) -> Vec<String> {
    let ids: BTreeSet<String> = ids.collect();
    ids.into_iter().collect()
}

#[cfg(test)]
mod tests;
