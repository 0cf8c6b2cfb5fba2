//! `check`: whether a configuration would work, found out without consuming, committing or joining
//! anything.

use std::fmt;

use eventlane::{Keyless, OnExhausted, Ordering};

use crate::{
    config::{AdapterConfig, DeliveryConfig, PipelineConfig, RepliesTo},
    exit::Exit,
};

mod letters;
mod sink;
mod source;

/// What was found out about one part of a pipeline: how it is, or what is wrong.
type Found = Result<String, eventlane::Error>;

/// Looks at every part of every pipeline, prints what it finds, and says whether all would work.
///
/// Nothing is consumed, committed or delivered, and no consumer of Kafka notices. RocketMQ is told
/// of a consumer that asks for nothing.
pub async fn check(config: &AdapterConfig) -> Exit {
    let mut exit = Exit::Done;
    for (name, pipeline) in &config.pipelines {
        let (source, sink, replies, letters) = tokio::join!(
            source::check(&pipeline.source),
            sink::check(&pipeline.sink.http),
            replies(pipeline.sink.replies_to.as_ref()),
            letters::check(pipeline.delivery.dead_letter.as_ref()),
        );
        println!("{name}");
        for (part, found) in [
            ("source", Some(source)),
            ("sink", Some(sink)),
            ("replies", replies),
            ("dead letter", letters),
        ] {
            match found {
                Some(Ok(found)) => println!("  {part:11}  ok      {found}"),
                Some(Err(error)) => {
                    println!("  {part:11}  FAILED  {error}");
                    exit = Exit::Failed;
                }
                None => {}
            }
        }
        println!("  {:11}          {}", "delivery", Told(pipeline));
        for note in notes(pipeline) {
            println!("  {:11}          {note}", "note");
        }
    }
    exit
}

/// Whether what a pipeline opens when it starts can be opened: everything but its sink. Touches as
/// little as [`check`].
///
/// # Errors
/// The first part that does not work.
pub async fn opens(pipeline: &PipelineConfig) -> Result<(), eventlane::Error> {
    let letters = pipeline.delivery.dead_letter.as_ref();
    source::check(&pipeline.source).await?;
    replies(pipeline.sink.replies_to.as_ref())
        .await
        .transpose()?;
    letters::check(letters).await.transpose()?;
    Ok(())
}

async fn replies(to: Option<&RepliesTo>) -> Option<Found> {
    Some(match to? {
        RepliesTo::Kafka(config) => letters::topic(config).await,
        RepliesTo::Http(config) => sink::check(config).await,
    })
}

/// What would happen, in words.
struct Told<'a>(&'a PipelineConfig);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeliveryConfig {
            ordering,
            keyless,
            budgets,
            batch,
            retry,
            ..
        } = &self.0.delivery;
        f.write_str(match (ordering, keyless) {
            (Ordering::None, _) => "without order",
            (Ordering::Partition, _) => "in order by partition",
            (_, Keyless::Unordered) => "in order by key, without a key in none",
            _ => "in order by key",
        })?;
        write!(f, ", up to {} requests at a time", budgets.requests)?;
        if batch.events > 1 {
            write!(f, " of up to {} events", batch.events)?;
        }
        match retry.attempts {
            Some(1) => f.write_str("; one attempt")?,
            Some(attempts) => write!(f, "; up to {attempts} attempts")?,
            None => f.write_str("; attempts without limit")?,
        }
        f.write_str(match self.0.delivery.exhausted() {
            OnExhausted::Block => ", then the key waits and is tried on",
            OnExhausted::DeadLetter => ", then a dead letter",
            OnExhausted::Release { .. } => ", then back to the broker",
            OnExhausted::Drop => ", then the event is DROPPED",
            OnExhausted::Stop => ", then the pipeline stops",
            _ => "",
        })
    }
}

/// What works, and may not be what was meant.
fn notes(pipeline: &PipelineConfig) -> Vec<String> {
    let mut notes = Vec::new();
    let grace = pipeline.delivery.grace.unwrap_or(crate::config::GRACE);
    let wait = pipeline.source.longest_wait();
    if let Some(wait) = wait.filter(|wait| *wait + std::time::Duration::from_secs(2) > grace) {
        notes.push(format!(
            "a stop may take {} s, for a receive that is under way: longer than the grace time of \
             {} s; set `wait` lower",
            wait.as_secs() + 2,
            grace.as_secs_f64(),
        ));
    }
    notes
}
