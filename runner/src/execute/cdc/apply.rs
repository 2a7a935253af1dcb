//! One micro-batch of change events: everything up to the files that its two commits will name.

use std::sync::Arc;

use datafusion::{
    error::{DataFusionError, Result as EngineResult},
    execution::{SendableRecordBatchStream, SessionState},
    physical_expr::{PhysicalExpr, expressions::Literal},
    physical_plan::stream::RecordBatchStreamAdapter,
    scalar::ScalarValue,
};
use floe_graph::cdc::TieRule;
use futures::{StreamExt, stream};
use tokio::sync::Mutex;

use super::{
    definition::Definition,
    events::{EventExpressions, Events},
    fold::{Counts, Fold, Noise},
    known::Known,
    merge::Inputs,
    snapshot,
    sort_key::SortKeys,
    sorted::{Prepare, sorted},
    target::TargetWriter,
    write::{self, Mark, Writing},
};
use crate::{
    commit::{RowChange, StagedFiles, TableWriter, TargetTable, WriterOptions},
    engine_failure::engine_error,
    execute::{
        batch::Query,
        progress::FlowMetrics,
        stage::{RowCounter, Sink},
    },
    failure::Failure,
    functions::BatchClock,
    keyed::{KeyFilter, KeyedCounters, TableRows},
    session,
};

/// The tables of one flow, and what its micro-batch is called.
pub struct Apply<'a> {
    /// Name of the flow, for messages.
    pub flow: &'a str,
    /// The clauses over the columns of the target.
    pub definition: Definition,
    /// Rows as users see them.
    pub target: &'a TargetTable,
    /// What is known of every key.
    pub journal: &'a TargetTable,
    /// Takes the rows that violate a quarantine expectation.
    pub quarantine: Option<&'a TargetTable>,
    /// Marks the versions of this batch.
    pub mark: Mark,
    /// For a snapshot its time or number: the sequence of all its events.
    pub snapshot: Option<ScalarValue>,
    /// What two different events of one key and sequence are.
    pub ties: TieRule,
    /// False: failure messages show `***` instead of a record.
    pub show_samples: bool,
    /// How files are written.
    pub writers: WriterOptions,
    /// Files that are written again at once.
    pub parallelism: usize,
}

/// What a micro-batch will commit.
#[derive(Debug)]
pub struct Applied {
    /// New versions.
    pub journal: StagedFiles,
    /// `None`: the target stays as it is.
    pub change: Option<RowChange>,
    /// Rows kept out of the target.
    pub quarantine: Option<StagedFiles>,
    /// What the events did.
    pub counts: Counts,
    /// What begins new rows of history.
    pub noise: Noise,
}

impl Sink for Apply<'_> {
    type Staged = Applied;

    async fn stage(&self, query: Query) -> Result<Applied, Failure> {
        let definition = &self.definition;
        let keys: Vec<_> = definition.keys().iter().map(|field| field.data_type().clone()).collect();
        let sort_keys = Arc::new(SortKeys::new(&keys, &definition.cdc.sequence_type).map_err(engine_error)?);
        let source = query.plan.schema();
        let expressions = self.expressions(&query)?;
        let events = Arc::new(Events::new(definition, expressions, &source, Arc::clone(&sort_keys))?);
        let quarantine = match self.quarantine {
            Some(table) => Some(TableWriter::new(table, self.writers.clone())?),
            None => None,
        };
        let quarantine = Arc::new(Mutex::new(quarantine));
        let outcome = self.run(&query, &events, &sort_keys, &quarantine).await;
        let quarantine = quarantine.lock().await.take();
        match (outcome, quarantine) {
            (Ok(applied), None) => Ok(applied),
            (Ok(applied), Some(writer)) => match writer.finish().await {
                Ok(files) => Ok(Applied { quarantine: Some(files), ..applied }),
                Err(failure) => {
                    Self::discard(applied).await;
                    Err(failure)
                }
            },
            (Err(failure), writer) => {
                if let Some(Err(left)) = futures::future::OptionFuture::from(writer.map(TableWriter::abort)).await {
                    tracing::warn!("staged files were left behind: {left}");
                }
                Err(failure)
            }
        }
    }

    async fn discard(applied: Applied) {
        let change = applied.change.map(|change| change.coming);
        for staged in [Some(applied.journal), change, applied.quarantine].into_iter().flatten() {
            if let Err(left) = staged.discard().await {
                tracing::warn!("staged files were left behind: {left}");
            }
        }
    }

    fn count(applied: &Applied, metrics: &mut FlowMetrics) {
        metrics.cdc = Some(applied.counts);
        metrics.num_output_bytes = Some(applied.change.as_ref().map_or(0, |change| change.coming.bytes));
    }
}

impl Apply<'_> {
    fn expressions(&self, query: &Query) -> Result<EventExpressions, Failure> {
        let cdc = &self.definition.cdc;
        if let Some(at) = &self.snapshot {
            return Ok(EventExpressions { sequence: Arc::new(Literal::new(at.clone())), delete: None, truncate: None });
        }
        let events = cdc.events().ok_or_else(|| Failure::internal("a snapshot without a time"))?;
        let bind = |expr: &datafusion::logical_expr::Expr| bound(&query.state, expr, query);
        Ok(EventExpressions {
            sequence: bind(&events.sequence)?,
            delete: events.delete_when.as_ref().map(bind).transpose()?,
            truncate: cdc.truncate_when().map(bind).transpose()?,
        })
    }

    /// Events are read to their end before anything is looked up: only then all keys are known.
    async fn run(&self, query: &Query, events: &Arc<Events>, sort_keys: &Arc<SortKeys>, quarantine: &Shared) -> Result<Applied, Failure> {
        let present = TableRows::open(self.target.location(), self.target.version()).await?;
        let journal = TableRows::open(self.journal.location(), self.journal.version()).await?;
        let used = if present.is_empty() && journal.is_empty() { Use::Load } else { Use::Apply };
        let sorted_events = self.sorted_events(query, events, (sort_keys, &present, used), quarantine).await?;
        let sorted_events = read_ahead(sorted_events).await.map_err(engine_error)?;
        if let Some(failure) = events.failure(self.flow, self.show_samples) {
            return Err(failure);
        }
        let known = self.known(query, sort_keys, events.keys()?);
        let versions = known.versions(&journal, &self.mark.transaction).await?;
        let rows = known.rows(&present).await?;
        self.fold(Inputs::new(sorted_events, versions, rows), present).await
    }

    /// The rows of the source as events; of a snapshot those that make the target equal to it.
    async fn sorted_events(
        &self,
        query: &Query,
        events: &Arc<Events>,
        (sort_keys, present, used): (&Arc<SortKeys>, &TableRows, Use),
        quarantine: &Shared,
    ) -> Result<SendableRecordBatchStream, Failure> {
        let rows = |prepare| sorted(Arc::clone(&query.plan), events.schema(), prepare, &query.context).map_err(engine_error);
        if self.snapshot.is_none() || present.is_empty() {
            return rows(prepared(query, events, quarantine, used));
        }
        let newest = self.known(query, sort_keys, KeyFilter::all()).newest_rows(present).await?;
        let snapshot = rows(prepared(query, events, quarantine, Use::Compare))?;
        let changes = snapshot::changes(events, &self.definition.shape, snapshot, newest).map_err(engine_error)?;
        sorted(changes, events.schema(), noted(events), &query.context).map_err(engine_error)
    }

    fn known<'a>(&'a self, query: &'a Query, sort_keys: &'a Arc<SortKeys>, filter: KeyFilter) -> Known<'a> {
        Known {
            definition: &self.definition,
            state: &query.state,
            context: &query.context,
            sort_keys,
            filter: Arc::new(filter),
            counters: Arc::new(KeyedCounters::default()),
        }
    }

    async fn fold(&self, mut inputs: Inputs, present: TableRows) -> Result<Applied, Failure> {
        let journal = Writing::start(TableWriter::new(self.journal, WriterOptions::of(self.journal, self.writers.shared.clone()))?);
        let mut target = TargetWriter::new(&self.definition, self.target, &self.writers)?;
        let (mut counts, mut noise) = (Counts::default(), Noise::default());
        let folded = self.fold_into(&mut inputs, &journal, &mut target, (&mut counts, &mut noise)).await;
        drop(inputs);
        if let Err(failure) = folded {
            journal.abort().await;
            target.abort().await;
            return Err(failure);
        }
        let journal = match journal.finish().await {
            Ok(files) => files,
            Err(failure) => {
                target.abort().await;
                return Err(failure);
            }
        };
        match target.finish(&present, self.writers.clone(), self.parallelism).await {
            Ok(change) => Ok(Applied { journal, change, quarantine: None, counts, noise }),
            Err(failure) => {
                if let Err(left) = journal.discard().await {
                    tracing::warn!("staged files were left behind: {left}");
                }
                Err(failure)
            }
        }
    }

    async fn fold_into(
        &self,
        inputs: &mut Inputs,
        journal: &Writing,
        target: &mut TargetWriter,
        (counts, noise): (&mut Counts, &mut Noise),
    ) -> Result<(), Failure> {
        let mut fold = Fold::new(self.definition.shape.clone(), self.mark.number);
        while let Some(chunk) = inputs.next().await.map_err(engine_error)? {
            let folded = fold.chunk(&chunk).map_err(engine_error)?;
            counts.add(&folded.counts);
            noise.add(&folded.noise);
            if self.ties == TieRule::Fail
                && let Some(tie) = &folded.tie
            {
                return Err(write::tie(&self.definition, &tie.row, tie.ops));
            }
            let versions = write::versions(&self.definition, &chunk, &folded, &self.mark)?;
            // A writer that takes nothing more has failed: its end says why.
            if !journal.write(versions).await || !target.write(&chunk, &folded).await? {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// The writer that all partitions share.
type Shared = Arc<Mutex<Option<TableWriter>>>;

fn bound(state: &SessionState, expr: &datafusion::logical_expr::Expr, query: &Query) -> Result<Arc<dyn PhysicalExpr>, Failure> {
    let clock: BatchClock = query.clock;
    let bound = session::bind_predicates(state, vec![expr.clone()], &query.plan.schema(), clock)?;
    bound.into_iter().next().ok_or_else(|| Failure::internal("an expression of Auto CDC was not bound"))
}

/// What becomes of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Each of them is applied, and nothing is known of any key: none need be looked up.
    Load,
    /// Each of them is applied.
    Apply,
    /// They are compared with the target first.
    Compare,
}

/// Notes the keys of events.
fn noted(events: &Arc<Events>) -> Prepare {
    let events = Arc::clone(events);
    Arc::new(move |rows| {
        let (schema, events) = (Arc::clone(events.schema()), Arc::clone(&events));
        Box::pin(RecordBatchStreamAdapter::new(schema, rows.map(move |batch| events.noted(batch?))))
    })
}

/// Expectations on the rows of the source, then events.
fn prepared(query: &Query, events: &Arc<Events>, quarantine: &Shared, used: Use) -> Prepare {
    let (evaluator, events, quarantine) = (Arc::clone(&query.evaluator), Arc::clone(events), Arc::clone(quarantine));
    let counter: Arc<RowCounter> = Arc::clone(&query.counter);
    Arc::new(move |rows| {
        let (evaluator, events, quarantine) = (Arc::clone(&evaluator), Arc::clone(&events), Arc::clone(&quarantine));
        let counter = Arc::clone(&counter);
        let schema = Arc::clone(events.schema());
        let prepared = rows.then(move |batch| {
            let (evaluator, events, quarantine) = (Arc::clone(&evaluator), Arc::clone(&events), Arc::clone(&quarantine));
            let counter = Arc::clone(&counter);
            async move {
                let batch = batch?;
                counter.add(batch.num_rows() as u64);
                let sorted = evaluator.sort_rows(batch)?;
                if let (Some(writer), Some(rows)) = (quarantine.lock().await.as_mut(), sorted.quarantined) {
                    writer.write(&rows).await.map_err(|failure| DataFusionError::External(Box::new(failure)))?;
                }
                let rows = events.of(&sorted.kept)?;
                if used == Use::Apply { events.noted(rows) } else { Ok(rows) }
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, prepared))
    })
}

/// A sort hands out its first rows when it has read all.
async fn read_ahead(mut rows: SendableRecordBatchStream) -> EngineResult<SendableRecordBatchStream> {
    let schema = rows.schema();
    let first = rows.next().await.transpose()?;
    let all = stream::iter(first.map(Ok)).chain(rows);
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, all)))
}
