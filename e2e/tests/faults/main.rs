//! Whatever happens between operator and API server, the end is that of an undisturbed run, and no two pods ever write one storage root.

mod j50_kill_operator_everywhere;
mod kills;
mod o44_missed_events;
mod o45_crash_at_every_call;
mod o56_unparsable_object;
mod o58_api_server_storms;
mod plot;
mod stale_reads;
mod story;
