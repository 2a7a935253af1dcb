//! Flows: `CREATE FLOW`, `APPLY CHANGES INTO`, and the flow behind a streaming table.

use super::Statement;
use crate::{
    definition::{Flow, FlowKind, Query},
    name::DatasetName,
    origin::{Diagnostic, Origin},
};

impl Statement<'_> {
    /// The flow that comes with its dataset's statement.
    pub(super) fn flow_of_dataset(&self, target: &DatasetName, kind: FlowKind, query: Query, origin: Origin) -> Flow {
        Flow {
            name: target.short(self.defaults),
            target: target.clone(),
            kind,
            query,
            comment: None,
            settings: self.settings.clone(),
            with_dataset: true,
            origin,
        }
    }

    /// What follows `FLOW` behind a streaming table.
    /// A flow that appends stands at `place`, the name that it shares with the table.
    pub(super) fn inline_flow(&mut self, target: &DatasetName, place: &Origin) -> Result<Flow, Diagnostic> {
        let origin = self.cursor.origin();
        if self.cursor.take(&["INSERT"]) {
            let once = self.cursor.take(&["ONCE"]);
            let query = self.by_name()?;
            return Ok(self.flow_of_dataset(target, append(once), query, place.clone()));
        }
        if self.cursor.take(&["AUTO", "CDC"]) {
            let once = self.cursor.take(&["ONCE"]);
            let (cdc, query) = self.auto_cdc(once)?;
            return Ok(self.flow_of_dataset(target, FlowKind::AutoCdc(Box::new(cdc)), query, origin));
        }
        if self.cursor.is_next(&["REPLACE"]) {
            return Err(Diagnostic::not_supported("FLOW REPLACE").at(&origin));
        }
        self.cursor.expected("INSERT BY NAME or AUTO CDC")
    }

    /// `CREATE FLOW name …`; the next word is the name, or the legacy `STREAM`.
    pub(super) fn create_flow(&mut self, origin: &Origin) -> Result<(), Diagnostic> {
        if self.cursor.is_word(0, "STREAM") && self.cursor.is_word(2, "AS") {
            self.legacy("CREATE STREAM", "write CREATE FLOW", origin);
            self.cursor.skip(1);
        }
        let name = self.cursor.name("the name of a flow")?;
        if name.parts.len() > 1 {
            let message = format!("the name of flow `{}` has more than one part", name.parts.join("."));
            return Err(Diagnostic::error("MULTIPART_FLOW_NAME_NOT_SUPPORTED", message).help("write the last part alone").at(&name.origin));
        }
        let comment = if self.cursor.take(&["COMMENT"]) { Some(self.cursor.string("a comment as a string")?) } else { None };
        self.cursor.expect(&["AS"])?;
        let mut flow = self.flow_into()?;
        flow.name = name.parts.concat();
        flow.comment = comment;
        flow.origin = name.origin;
        self.draft.flows.push(flow);
        Ok(())
    }

    fn flow_into(&mut self) -> Result<Flow, Diagnostic> {
        let origin = self.cursor.origin();
        if self.cursor.take(&["INSERT"]) {
            let before = self.cursor.take(&["ONCE"]);
            if self.take_misspelt(&[&["INTO"]]).is_none() {
                self.cursor.expect(&["INTO"])?;
            }
            let once = self.cursor.take(&["ONCE"]) || before;
            let target = self.target()?;
            let query = self.by_name()?;
            return Ok(self.separate_flow(&target, append(once), query));
        }
        let is_legacy = self.cursor.take(&["APPLY", "CHANGES"]);
        if is_legacy {
            self.legacy("APPLY CHANGES", "write AUTO CDC", &origin);
        }
        if is_legacy || self.cursor.take(&["AUTO", "CDC"]) {
            let once = self.cursor.take(&["ONCE"]);
            self.cursor.expect(&["INTO"])?;
            let target = self.target()?;
            let (cdc, query) = self.auto_cdc(once)?;
            return Ok(self.separate_flow(&target, FlowKind::AutoCdc(Box::new(cdc)), query));
        }
        if self.take_misspelt(&[&["INSERT", "INTO"]]).is_some() {
            let target = self.target()?;
            let query = self.by_name()?;
            return Ok(self.separate_flow(&target, FlowKind::Append, query));
        }
        self.cursor.expected("INSERT INTO or AUTO CDC INTO")
    }

    /// `APPLY CHANGES INTO t …`: a flow with the name of its target.
    pub(super) fn apply_changes(&mut self) -> Result<(), Diagnostic> {
        let origin = self.cursor.origin();
        self.legacy("APPLY CHANGES INTO", "write CREATE FLOW name AS AUTO CDC INTO", &origin);
        self.cursor.skip(2);
        self.cursor.expect(&["INTO"])?;
        let target = self.target()?;
        let (cdc, query) = self.auto_cdc(false)?;
        let mut flow = self.separate_flow(&target, FlowKind::AutoCdc(Box::new(cdc)), query);
        flow.origin = origin;
        self.draft.flows.push(flow);
        Ok(())
    }

    fn separate_flow(&self, target: &DatasetName, kind: FlowKind, query: Query) -> Flow {
        let origin = query.origin.clone();
        Flow { with_dataset: false, ..self.flow_of_dataset(target, kind, query, origin) }
    }

    fn target(&mut self) -> Result<DatasetName, Diagnostic> {
        let name = self.cursor.name("the name of a streaming table")?;
        Ok(self.declare(&name))
    }

    /// `BY NAME query`.
    fn by_name(&mut self) -> Result<Query, Diagnostic> {
        if !self.cursor.take(&["BY", "NAME"]) {
            let found = self.cursor.found();
            let message = format!("expected BY NAME, found {found}");
            return Err(self
                .cursor
                .error("PARSE_SYNTAX_ERROR", message)
                .help("a flow writes by column name: INSERT INTO t BY NAME SELECT …, without column list, partition or OVERWRITE"));
        }
        if !self.cursor.is_query() {
            return self.cursor.expected("a query");
        }
        self.cursor.query(self.namespace)
    }
}

fn append(once: bool) -> FlowKind {
    if once { FlowKind::Once } else { FlowKind::Append }
}
