//! Hashes of what decides results: one per flow, one for the graph. They do not depend on files, positions or the order of definitions.

use std::fmt::Write;

use datafusion_common::{
    ScalarValue,
    tree_node::{TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{Expr, LogicalPlan};
use sha2::{Digest, Sha256};

use crate::{
    analysis::{Expect, Parameters, SqlSettings, ddl},
    cdc::{CdcSource, ResolvedAutoCdc},
    explain::kind_of_flow as kind_word,
    function::LambdaStub,
    graph::{ResolvedDataset, ResolvedExpectation, ResolvedFlow, ResolvedGraph, RowRules},
    relation::Relation,
};

/// Changes when the same plan text means other results.
const FORMAT: &str = "floe-plan/1";

/// The plan as indented text, for people: long lists and long binary values are cut in it.
pub fn plan_text(plan: &LogicalPlan) -> String {
    plan.display_indent_schema().to_string()
}

/// The fingerprint of a flow: plan, leaves, settings, secret parameters that it uses, and the rules and columns of its target.
pub(super) fn flow(flow: &ResolvedFlow, target: &ResolvedDataset, sql: &SqlSettings, parameters: &Parameters) -> String {
    let mut text = format!("{FORMAT}\nansi={} zone={}\n", sql.ansi, sql.time_zone);
    let plan = whole_text(&flow.plan);
    text.push_str(&plan);
    let mut leaves: Vec<String> = flow.inputs.iter().map(|leaf| relation_text(leaf)).collect();
    leaves.sort();
    // Writing to a String cannot fail.
    let definition = &target.definition;
    let columns = ddl::schema_text(&target.schema);
    // The order of rows in files decides no result; the brackets are those of a format that had it here.
    let _ = write!(text, "\n{}\n{columns}\n{:?} []\n", leaves.join("\n"), definition.partition_by);
    text.push_str(&expectations_text(&target.expectations));
    text.push_str(&rules_text(&target.rules));
    let required = definition.columns.iter().flatten().filter(|column| !column.nullable);
    for column in required {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} NOT NULL", column.name.to_lowercase());
    }
    if let Some(cdc) = flow.kind.auto_cdc() {
        text.push_str(&cdc_text(cdc));
    }
    let mut hash = Sha256::new_with_prefix(text.as_bytes());
    for (name, parameter) in
        parameters.iter().filter(|(name, parameter)| parameter.secret && plan.to_lowercase().contains(&format!(":{name}")))
    {
        hash.update(name.as_bytes());
        hash.update(parameter.value.as_bytes());
    }
    hex(&hash.finalize())
}

/// The plan as text with everything that decides its rows.
fn whole_text(plan: &LogicalPlan) -> String {
    let mut text = plan_text(plan);
    text.push_str(&cut_values(plan));
    text.push_str(&view_expectations(plan));
    text
}

/// What the text of a plan leaves out: rows of `VALUES` after the first five, the end of binary values.
fn cut_values(plan: &LogicalPlan) -> String {
    let mut text = String::new();
    let visited = plan.apply_with_subqueries(|node| {
        let is_values = matches!(node, LogicalPlan::Values(_));
        node.apply_expressions(|expression| {
            if is_values {
                let _ = write!(text, "\n{expression}");
            }
            cut_literals(expression, &mut text);
            Ok(TreeNodeRecursion::Continue)
        })
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    text
}

/// Binary values in an expression and in the bodies of its lambdas.
fn cut_literals(expression: &Expr, text: &mut String) {
    let visited = expression.apply(|part| {
        match part {
            Expr::Literal(value @ (ScalarValue::Binary(_) | ScalarValue::LargeBinary(_) | ScalarValue::FixedSizeBinary(..)), _) => {
                let _ = write!(text, "\n{value:?}");
            }
            Expr::ScalarFunction(call) => {
                if let Some(stub) = call.func.inner().downcast_ref::<LambdaStub>() {
                    stub.call.bodies.iter().for_each(|lambda| cut_literals(&lambda.body, text));
                }
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
}

fn relation_text(relation: &Relation) -> String {
    format!("{:?} {} {:?}", relation.kind, relation.streaming, relation.options)
}

fn expectations_text(expectations: &[ResolvedExpectation]) -> String {
    expectations.iter().fold(String::new(), |mut text, rule| {
        let _ = writeln!(text, "{} {} {:?} {}", rule.dataset.to_lowercase(), rule.name, rule.action, rule.predicate);
        text
    })
}

fn rules_text(rules: &RowRules) -> String {
    let checks = rules.checks.iter().map(|check| format!("check {} {}\n", check.name, check.predicate));
    let generated = rules.generated.iter().map(|column| format!("generated {} {}\n", column.name, column.value));
    checks.chain(generated).collect()
}

/// The clauses of Auto CDC: what the journal is made for, and the expressions.
fn cdc_text(cdc: &ResolvedAutoCdc) -> String {
    let mut text = format!("{:?}\n{}\n", crate::cdc::properties(cdc), cdc.columns.join(", "));
    let source = match &cdc.source {
        CdcSource::Stream(_) => "stream",
        CdcSource::Once(_) => "once",
        CdcSource::Snapshot => "snapshot",
    };
    let events = cdc.events();
    let expressions = [events.map(|events| &events.sequence), events.and_then(|events| events.delete_when.as_ref()), cdc.truncate_when()];
    for expression in expressions {
        let _ = writeln!(text, "{source} {}", expression.map(ToString::to_string).unwrap_or_default());
    }
    text
}

/// The predicates of views stand in their plan nodes only by name.
fn view_expectations(plan: &LogicalPlan) -> String {
    let mut text = String::new();
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Extension(extension) = node
            && let Some(expect) = extension.node.as_any().downcast_ref::<Expect>()
        {
            text.push_str(&expectations_text(&expect.expectations));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok(), "the visitor never fails");
    text
}

/// The id of a graph.
pub(super) fn graph_id(graph: &ResolvedGraph) -> String {
    let mut text = String::from(FORMAT);
    for (name, dataset) in &graph.datasets {
        let definition = &dataset.definition;
        let _ = write!(
            text,
            "\n{} {:?} {} {} {:?} {:?} {:?} {:?}\n",
            name.key(),
            definition.kind,
            definition.private,
            ddl::schema_text(&dataset.schema),
            definition.partition_by,
            definition.cluster_by,
            definition.properties,
            dataset.quarantine.as_ref().map(crate::name::DatasetName::key),
        );
        text.push_str(&expectations_text(&dataset.expectations));
        text.push_str(&rules_text(&dataset.rules));
        if let Some(view) = &dataset.view {
            text.push_str(&whole_text(view));
        }
    }
    for flow in &graph.flows {
        let _ = write!(text, "\n{} {} {} {}", flow.name.to_lowercase(), flow.target.key(), kind_word(&flow.kind), flow.fingerprint);
    }
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
