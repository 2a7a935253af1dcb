//! Benchmarks of Floe and the generator of their data and of the examples.

mod cdc;
mod event;
mod files;
mod generate;
mod gym;
mod jobs;
mod load;
mod measure;
mod operator;
mod output;
mod project;
mod random;
mod requests;
mod run;
mod sample;
mod server;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};

use generate::Size;
use server::World;

#[derive(Parser)]
#[command(name = "floe-bench", about = "Benchmarks of Floe and the generator of their data", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write messages: OUT/stage/b0000 is the initial load, b0001 and so on are later batches of one file each
    Generate {
        /// The kind of data
        #[arg(value_parser = ["bookstore"])]
        kind: String,
        /// Messages of the initial load
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
        /// Files of the initial load
        #[arg(long, default_value_t = 100)]
        files: u64,
        /// Number of later batches
        #[arg(long, default_value_t = 5)]
        batches: u64,
        /// Messages of each later batch
        #[arg(long, default_value_t = 1000)]
        batch_rows: u64,
        /// The same seed gives the same files
        #[arg(long, default_value_t = 7)]
        seed: u64,
        /// Folder to write to
        #[arg(long)]
        out: PathBuf,
    },
    /// Land the next batch of files in the bookstore example
    Land {
        /// Folder of the example
        #[arg(default_value = "examples/bookstore")]
        project: PathBuf,
        /// Number of files
        #[arg(long, default_value_t = 1)]
        files: u64,
    },
    /// Write the sample that the bookstore example ships
    Sample {
        /// The landing folder
        #[arg(default_value = "examples/bookstore/data/landing")]
        landing: PathBuf,
    },
    /// Write the data that the gym example ships
    SampleGym {
        /// Its data folder
        #[arg(default_value = "examples/gym/data")]
        data: PathBuf,
    },
    /// Run benchmarks and print one JSON line {bench, rows, seconds, peak_rss_mb} per figure
    Run {
        /// The `floe` binary [default: the one beside this program]
        #[arg(long)]
        floe: Option<PathBuf>,
        /// Messages of the large load
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
        /// Files of the large load
        #[arg(long, default_value_t = 100)]
        files: u64,
        /// Folder for the projects [default: the system's folder for temporary files]
        #[arg(long)]
        work: Option<PathBuf>,
        /// Names of benchmarks: json_to_bronze, json_inferred, bronze_to_silver, graph_1000, new_files_10000, infer_1000, known_files_100000,
        /// auto_cdc [default: all but the last two]
        names: Vec<String>,
    },
    /// Put the operator under load and print one JSON line per figure; needs e2e/cluster/install, or --stand-in
    Operator {
        /// Pipelines that are there
        #[arg(long, default_value_t = 2000)]
        pipelines: usize,
        /// Updates that start
        #[arg(long, default_value_t = 1000)]
        starts: usize,
        /// Starts per minute
        #[arg(long, default_value_t = 1000)]
        rate: u32,
        /// Seconds at rest in which writes are counted
        #[arg(long, default_value_t = 20)]
        rest: u64,
        #[command(flatten)]
        world: World,
    },
    /// Put runs of Jobs under load, with pods that are played, and print one JSON line per figure; needs e2e/cluster/install, or --stand-in
    Jobs {
        /// Runs of a Job whose tasks follow each other
        #[arg(long, default_value_t = 500)]
        runs: usize,
        /// Its tasks
        #[arg(long, default_value_t = 10)]
        tasks: usize,
        /// Runs per minute
        #[arg(long, default_value_t = 60)]
        rate: u32,
        /// Runs of a Job with one condition, all within a minute
        #[arg(long, default_value_t = 1000)]
        conditions: usize,
        /// Seconds at rest in which writes are counted
        #[arg(long, default_value_t = 20)]
        rest: u64,
        #[command(flatten)]
        world: World,
    },
    /// The stand-in for an API server, as --stand-in starts it: serves until its standard input ends
    #[command(hide = true)]
    StandIn {
        /// Where its kubeconfig is written
        folder: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Generate { kind: _, rows, files, batches, batch_rows, seed, out } => {
            generate::stage(&generate::bench_shape(seed, rows), Size { rows, files, batches, batch_rows }, &out)
        }
        Command::Land { project, files } => {
            for path in sample::land(&project, files)? {
                output::line(&format!("landed {}", path.display()))?;
            }
            Ok(())
        }
        Command::Sample { landing } => sample::write(&landing),
        Command::SampleGym { data } => gym::write(&data),
        Command::Jobs { runs, tasks, rate, conditions, rest, world } => {
            jobs::run(&jobs::Options { runs, tasks, rate, conditions, rest, world })
        }
        Command::Operator { pipelines, starts, rate, rest, world } => {
            operator::run(&operator::Options { pipelines, starts, rate, rest, world })
        }
        Command::StandIn { folder } => server::stand_in(&folder),
        Command::Run { floe, rows, files, work, names } => {
            let floe = floe.map_or_else(beside_this_program, Ok)?;
            run::run(&run::Options { floe, rows, files, work }, &names)
        }
    }
}

fn beside_this_program() -> anyhow::Result<PathBuf> {
    let floe = std::env::current_exe()?.with_file_name("floe");
    anyhow::ensure!(floe.is_file(), "there is no {}: build it with `cargo build --release --bin floe` or give --floe", floe.display());
    floe.canonicalize().context("cannot resolve the path of floe")
}
