//! A plan as `EXPLAIN (VERBOSE, FORMAT JSON)` gives it, reduced to what a diagnosis needs. Literals are removed on entry.

use serde_json::Value;

use super::text::{printable, redact};

/// Longest condition that is kept, in characters.
const CONDITION_LENGTH: usize = 512;

/// One node of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExplainNode {
    /// Type, such as `Seq Scan`.
    pub node_type: String,
    /// Role below its parent, such as `Outer`, `Inner`, `SubPlan`, `InitPlan`.
    pub relationship: String,
    /// Works in several processes; shown as `Parallel Seq Scan`.
    pub parallel: bool,
    /// Schema of the relation.
    pub schema: String,
    /// Relation; empty when the node reads none.
    pub relation: String,
    /// Alias of the relation.
    pub alias: String,
    /// Filter with its literals removed.
    pub filter: Option<String>,
    /// Has a condition that an index decides.
    pub conditioned: bool,
    /// Rows that the planner expects the node to return (per process).
    pub rows: f64,
    /// Total cost in the planner's units.
    pub cost: f64,
    /// Planned workers (of a Gather).
    pub workers: f64,
    /// Children in plan order.
    pub children: Vec<ExplainNode>,
}

/// A scan of a table with what it contributes to the whole plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan<'a> {
    /// The node.
    pub node: &'a ExplainNode,
    /// Cost over all its executions, in the planner's units.
    pub cost: f64,
    /// Share of the whole plan's cost, 0 to 1.
    pub share: f64,
    /// Rows over all processes.
    pub rows: f64,
    /// Rows of the other side of the join that it feeds; absent when it feeds none.
    pub partner_rows: Option<f64>,
}

impl ExplainNode {
    /// Reads the JSON of EXPLAIN.
    ///
    /// # Errors
    /// What is wrong with the text, for people.
    pub fn parse(json: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(json).map_err(|error| format!("the plan is no JSON: {error}"))?;
        let plan = value.pointer("/0/Plan").ok_or("the plan has no root node")?;
        Ok(Self::read(plan))
    }

    fn read(value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |name: &str| value.get(name).and_then(Value::as_f64).unwrap_or_default();
        Self {
            node_type: printable(&text("Node Type"), 64),
            relationship: text("Parent Relationship"),
            parallel: value.get("Parallel Aware").and_then(Value::as_bool).unwrap_or_default(),
            schema: text("Schema"),
            relation: text("Relation Name"),
            alias: text("Alias"),
            filter: value
                .get("Filter")
                .and_then(Value::as_str)
                .map(|filter| printable(&redact(filter), CONDITION_LENGTH)),
            conditioned: ["Index Cond", "Recheck Cond", "TID Cond"].iter().any(|name| value.get(name).is_some()),
            rows: number("Plan Rows"),
            cost: number("Total Cost"),
            workers: number("Workers Planned"),
            children: value.get("Plans").and_then(Value::as_array).into_iter().flatten().map(Self::read).collect(),
        }
    }

    /// Type of the node for people.
    pub fn title(&self) -> String {
        if self.parallel { format!("Parallel {}", self.node_type) } else { self.node_type.clone() }
    }

    /// Every scan of a relation, dearest first.
    ///
    /// The cost of a node counts once per execution: the inner side of a nested loop runs once per outer row (unless
    /// its result is kept), and a correlated subplan as often as its parent's cost allows.
    pub fn scans(&self) -> Vec<Scan<'_>> {
        let mut found = Vec::new();
        self.walk(1.0, 0.0, None, &mut found);
        for scan in &mut found {
            scan.share = if self.cost > 0.0 { (scan.cost / self.cost).clamp(0.0, 1.0) } else { 0.0 };
        }
        found.sort_by(|a, b| b.cost.total_cmp(&a.cost));
        found
    }

    fn walk<'a>(&'a self, executions: f64, workers: f64, partner: Option<f64>, found: &mut Vec<Scan<'a>>) {
        let workers = if self.workers > 0.0 { self.workers } else { workers };
        let below: f64 = self.children.iter().map(|child| child.cost * self.executions_of(child)).sum();
        if !self.relation.is_empty() {
            // The leader helps the less, the more workers there are: costsize.c, get_parallel_divisor.
            let processes = if self.parallel { workers + (1.0 - 0.3 * workers).max(0.0) } else { 1.0 };
            found.push(Scan {
                node: self,
                cost: (self.cost - below).max(0.0) * executions,
                share: 0.0,
                rows: self.rows * processes.max(1.0),
                partner_rows: partner,
            });
        }
        let is_join = self.node_type.ends_with("Join") || self.node_type == "Nested Loop";
        for (index, child) in self.children.iter().enumerate() {
            let is_side = matches!(child.relationship.as_str(), "Outer" | "Inner");
            let partner = match (is_join && is_side, is_side) {
                (true, _) => self
                    .children
                    .iter()
                    .enumerate()
                    .find(|(other, node)| *other != index && matches!(node.relationship.as_str(), "Outer" | "Inner"))
                    .map(|(_, node)| node.rows),
                (false, true) => partner,
                (false, false) => None,
            };
            child.walk(executions * self.executions_of(child), workers, partner, found);
        }
    }

    fn executions_of(&self, child: &Self) -> f64 {
        match child.relationship.as_str() {
            "Inner" if self.node_type == "Nested Loop" => {
                let kept = matches!(child.node_type.as_str(), "Materialize" | "Memoize");
                let outer =
                    self.children.iter().find(|node| node.relationship == "Outer").map_or(1.0, |node| node.rows);
                if kept { 1.0 } else { outer.max(1.0) }
            }
            "SubPlan" if child.cost > 0.0 => (self.cost / child.cost).floor().max(1.0),
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_without_its_literals() {
        let json = r#"[{"Plan":{"Node Type":"Gather","Total Cost":100,"Plan Rows":3,"Workers Planned":2,"Plans":[
            {"Node Type":"Seq Scan","Parent Relationship":"Outer","Parallel Aware":true,"Schema":"shop",
             "Relation Name":"orders","Alias":"o","Plan Rows":10,"Total Cost":90,"Filter":"(o.customer_id = 42)"}]}}]"#;
        let plan = ExplainNode::parse(json).expect("a plan");
        let scans = plan.scans();
        assert_eq!(scans.len(), 1);
        assert_eq!(scans[0].node.filter.as_deref(), Some("(o.customer_id = ?)"));
        assert_eq!(scans[0].node.title(), "Parallel Seq Scan");
        assert!((scans[0].share - 0.9).abs() < 1e-9);
        assert!((scans[0].rows - 24.0).abs() < 1e-9, "two workers and 0.4 of the leader");
        assert!(ExplainNode::parse("[]").is_err());
        assert!(ExplainNode::parse("nonsense").is_err());
    }

    #[test]
    fn the_inner_side_of_a_nested_loop_counts_per_outer_row() {
        let node = |node_type: &str, relationship: &str, relation: &str, rows: f64, cost: f64, children| ExplainNode {
            node_type: node_type.into(),
            relationship: relationship.into(),
            relation: relation.into(),
            rows,
            cost,
            children,
            ..ExplainNode::default()
        };
        let outer = node("Index Scan", "Outer", "customers", 10.0, 8.0, vec![]);
        let inner = node("Seq Scan", "Inner", "orders", 30.0, 100.0, vec![]);
        let plan = node("Nested Loop", "", "", 300.0, 1010.0, vec![outer, inner]);
        let scans = plan.scans();
        assert_eq!(scans[0].node.relation, "orders");
        assert!(scans[0].share > 0.98);
        assert_eq!(scans[0].partner_rows, Some(10.0));
    }
}
