//! The rules of the client, with simulated time in which requests take no time.

use std::time::Duration;

use super::{super::record::tests::record, *};
use crate::{InstancePort, registry::Call};

const WALL: u64 = 1_700_000_000_000;

fn default_record() -> Record {
    record(Duration::from_secs(30), Duration::from_secs(90))
}

/// A machine and its simulated time.
struct Sim {
    machine: Machine,
    start: Instant,
    now: Instant,
}

impl Sim {
    fn new() -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(default_record(), Status::Up, now, WALL), start: now, now }
    }

    /// A machine that settled at second 0.
    fn settled() -> Self {
        let mut sim = Self::new();
        sim.expect(Step::Register { dirty: WALL }, Outcome::Done);
        sim.expect(Step::Verify, ours());
        assert!(sim.machine.state.is_settled());
        sim
    }

    fn seconds(&self) -> u64 {
        (self.now - self.start).as_secs()
    }

    fn wall(&self) -> u64 {
        WALL + u64::try_from((self.now - self.start).as_millis()).unwrap()
    }

    /// Advances to the next step; returns its second and the step.
    fn step(&mut self) -> (u64, Step) {
        loop {
            match self.machine.next(self.now) {
                Step::Wait(at) => {
                    assert!(at > self.now, "a wait for the past would loop forever");
                    self.now = at;
                }
                step => return (self.seconds(), step),
            }
        }
    }

    fn answer(&mut self, step: &Step, outcome: Outcome) {
        let wall = self.wall();
        self.machine.done(step, outcome, self.now, wall);
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers construct the expected step in place")]
    fn expect(&mut self, wanted: Step, outcome: Outcome) {
        let (_, step) = self.step();
        assert_eq!(step, wanted);
        self.answer(&step, outcome);
    }

    fn set_status(&mut self, status: Status) {
        let wall = self.wall();
        self.machine.set_status(status, self.now, wall);
    }
}

fn held(ip: &str, port: u16, last_dirty: u64) -> Outcome {
    Outcome::Held(Box::new(Instance {
        ip_addr: Some(ip.to_owned()),
        port: Some(InstancePort { number: port, enabled: true }),
        secure_port: Some(InstancePort { number: 443, enabled: false }),
        last_dirty: Some(last_dirty),
        ..Instance::default()
    }))
}

fn failed() -> Outcome {
    Outcome::Failed(Error::unreachable("no registry"))
}

/// The metadata that a request for `key` would send.
fn sent_metadata(sim: &Sim, key: &str) -> Vec<(String, String)> {
    let step = Step::Metadata(BTreeSet::from([key.to_owned()]));
    match sim.machine.record.call(&step, Status::Up) {
        Some(Call::SetMetadata { pairs, .. }) => pairs,
        call => panic!("{call:?}"),
    }
}

fn ours() -> Outcome {
    held("10.0.0.1", 8080, WALL)
}

fn dirty_of(step: &Step) -> u64 {
    match step {
        Step::Register { dirty } | Step::Heartbeat { dirty } => *dirty,
        step => panic!("{step:?}"),
    }
}

#[test]
fn registers_then_verifies_then_sends_heartbeats() {
    let mut sim = Sim::settled();
    for second in [30, 60, 90] {
        assert_eq!(sim.step(), (second, Step::Heartbeat { dirty: WALL }));
        sim.answer(&Step::Heartbeat { dirty: WALL }, Outcome::Done);
    }
    assert!(sim.machine.state.is_settled());
}

/// With an older time stamp the registry would keep the old record (Netflix #802).
#[test]
fn registers_again_at_once_when_a_heartbeat_gets_404() {
    let mut sim = Sim::settled();
    sim.expect(Step::Heartbeat { dirty: WALL }, Outcome::Unknown);
    assert!(!sim.machine.state.registered);
    let (second, step) = sim.step();
    assert_eq!((second, dirty_of(&step)), (30, WALL + 30_000));
    sim.answer(&step, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert_eq!(sim.step(), (60, Step::Heartbeat { dirty: WALL + 30_000 }), "one interval after the registration");
    assert_eq!(sim.machine.state.lost, 1);
}

#[test]
fn time_stamp_increases_even_if_the_clock_goes_back() {
    let mut sim = Sim::settled();
    let beat = sim.step().1;
    let now = sim.now;
    sim.machine.done(&beat, Outcome::Unknown, now, WALL - 3_600_000);
    assert_eq!(dirty_of(&sim.step().1), WALL + 1);
}

/// The Java client considers itself registered after a failed registration. Ours retries after 1, 2, 4 ... s, at most a
/// third of the lease.
#[test]
fn retries_a_failed_registration_with_backoff() {
    let mut sim = Sim::new();
    let mut seconds = Vec::new();
    for _ in 0..8 {
        let (second, step) = sim.step();
        assert_eq!(step, Step::Register { dirty: WALL });
        seconds.push(second);
        sim.answer(&step, failed());
    }
    assert_eq!(seconds, [0, 1, 3, 7, 15, 31, 61, 91]);
    assert!(sim.machine.may_be_known() && !sim.machine.state.registered);
}

#[test]
fn keeps_sending_heartbeats_in_an_outage_and_verifies_after_it() {
    let mut sim = Sim::settled();
    let mut seconds = Vec::new();
    for _ in 0..7 {
        let (second, step) = sim.step();
        assert_eq!(step, Step::Heartbeat { dirty: WALL });
        seconds.push(second);
        sim.answer(&step, failed());
    }
    assert_eq!(seconds, [30, 31, 33, 37, 45, 61, 91], "at most a third of the lease apart");
    sim.expect(Step::Heartbeat { dirty: WALL }, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert!(sim.machine.state.is_settled());
}

/// Another node behind the same URL may not have the record yet.
#[test]
fn verifies_again_after_a_heartbeat_when_the_record_is_not_found() {
    let mut sim = Sim::new();
    sim.expect(Step::Register { dirty: WALL }, Outcome::Done);
    sim.expect(Step::Verify, Outcome::Unknown);
    assert!(sim.machine.state.registered && !sim.machine.state.verified);
    assert_eq!(sim.step(), (30, Step::Verify));
    sim.answer(&Step::Verify, Outcome::Unknown);
    sim.expect(Step::Heartbeat { dirty: WALL }, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert!(sim.machine.state.is_settled());
}

/// The record of a dead pod with the same id, whose clock was ahead.
#[test]
fn overwrites_a_foreign_record_with_a_later_time_stamp() {
    let mut sim = Sim::new();
    sim.expect(Step::Register { dirty: WALL }, Outcome::Done);
    sim.expect(Step::Verify, held("10.0.0.9", 8080, WALL + 7_200_000));
    let (second, step) = sim.step();
    assert_eq!((second, dirty_of(&step)), (0, WALL + 7_200_001));
    sim.answer(&step, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert_eq!(sim.machine.state.conflicts, 1);
    assert!(sim.machine.state.is_settled());
}

#[test]
fn slows_down_when_two_pods_share_an_id() {
    let mut sim = Sim::new();
    let mut registrations = Vec::new();
    for _ in 0..6 {
        let (second, step) = sim.step();
        assert!(matches!(step, Step::Register { .. }), "{step:?}");
        registrations.push(second);
        sim.answer(&step, Outcome::Done);
        sim.expect(Step::Verify, held("10.0.0.1", 9090, WALL));
    }
    assert_eq!(registrations, [0, 0, 0, 30, 60, 90]);
}

#[test]
fn registers_status_changes_and_delays_those_beyond_the_limit() {
    let mut sim = Sim::settled();
    sim.now += Duration::from_secs(1);
    for (status, second) in [(Status::Down, 1), (Status::Up, 1), (Status::Down, 31)] {
        sim.set_status(status);
        let (at, step) = sim.step();
        assert_eq!(at, second, "{status}");
        assert!(matches!(step, Step::Register { .. }), "{step:?}");
        sim.answer(&step, Outcome::Done);
        sim.expect(Step::Verify, ours());
        assert_eq!(sim.machine.state.status, status);
    }
}

/// The change that the limit refused made a later one wait as well.
#[test]
fn an_allowed_status_change_does_not_wait_behind_a_refused_one() {
    let mut sim = Sim::settled();
    for (after, status) in [(1, Status::Down), (1, Status::Up), (1, Status::Down)] {
        sim.now += Duration::from_secs(after);
        sim.set_status(status);
        if let Step::Register { dirty } = sim.machine.next(sim.now) {
            sim.answer(&Step::Register { dirty }, Outcome::Done);
            sim.expect(Step::Verify, ours());
        }
    }
    assert!(matches!(sim.machine.next(sim.now), Step::Wait(_)), "the third change is beyond the limit");
    // One token every 15 s.
    sim.now += Duration::from_secs(17);
    sim.set_status(Status::Starting);
    let now = sim.now;
    let (_, step) = sim.step();
    assert_eq!(sim.now, now);
    assert!(matches!(step, Step::Register { .. }), "{step:?}");
}

/// The server refuses overrides, which is no reason to delay a registration.
#[test]
fn a_status_change_does_not_wait_behind_one_that_the_server_refused() {
    let mut sim = Sim::settled();
    sim.set_status(Status::OutOfService);
    for _ in 0..4 {
        sim.expect(Step::PutOverride(Status::OutOfService), Outcome::Failed(Error::rejected(403, "forbidden")));
    }
    let now = sim.now;
    sim.set_status(Status::Down);
    let (_, step) = sim.step();
    assert!(matches!(step, Step::Register { .. }) && sim.now == now, "{step:?}");
    sim.answer(&step, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert!(sim.machine.state.is_settled(), "the refused override did not arrive, so nothing has to be removed");
}

/// An outage delays every request.
#[test]
fn a_status_change_waits_for_the_backoff_in_an_outage() {
    let mut sim = Sim::settled();
    sim.set_status(Status::Down);
    for _ in 0..3 {
        let (_, step) = sim.step();
        sim.answer(&step, failed());
    }
    let now = sim.now;
    sim.set_status(Status::Up);
    sim.step();
    assert_eq!(sim.now, now + Duration::from_secs(4));
}

#[test]
fn ignores_unknown_and_an_unchanged_status_other_than_up() {
    let mut sim = Sim::settled();
    sim.set_status(Status::Unknown);
    assert_eq!(sim.step(), (30, Step::Heartbeat { dirty: WALL }));
    sim.set_status(Status::OutOfService);
    sim.expect(Step::PutOverride(Status::OutOfService), Outcome::Done);
    sim.set_status(Status::OutOfService);
    assert!(sim.machine.state.is_settled());
}

/// The record as the registry lists it, at second 0.
fn listed(status: Status) -> Outcome {
    let Outcome::Held(mut held) = ours() else { panic!("not a record") };
    held.status = status;
    Outcome::Held(held)
}

/// The registry may list another status, so the record is read back before anything is sent.
#[test]
fn setting_an_unchanged_up_reads_the_record_back() {
    let mut sim = Sim::settled();
    sim.set_status(Status::Up);
    assert!(sim.machine.state.pending);
    sim.expect(Step::Verify, listed(Status::Up));
    assert!(sim.machine.state.is_settled());
    assert_eq!(sim.step(), (30, Step::Heartbeat { dirty: WALL }));
}

#[test]
fn setting_up_removes_an_operators_override() {
    let mut sim = Sim::settled();
    sim.set_status(Status::Up);
    sim.expect(Step::Verify, listed(Status::OutOfService));
    sim.expect(Step::PutOverride(Status::Up), Outcome::Done);
    sim.expect(Step::RemoveOverride(Status::Up), Outcome::Done);
    assert_eq!((sim.machine.state.listed, sim.machine.state.is_settled()), (Some(Status::Up), true));

    // Also when the status was another one before.
    sim.set_status(Status::Down);
    let (_, step) = sim.step();
    sim.answer(&step, Outcome::Done);
    sim.expect(Step::Verify, listed(Status::Down));
    sim.now += Duration::from_secs(20);
    sim.set_status(Status::Up);
    let (_, step) = sim.step();
    sim.answer(&step, Outcome::Done);
    sim.expect(Step::Verify, listed(Status::OutOfService));
    sim.expect(Step::PutOverride(Status::Up), Outcome::Done);
    sim.expect(Step::RemoveOverride(Status::Up), Outcome::Done);
    assert!(sim.machine.state.is_settled());
}

/// Netflix's client compares the remote status with each fetch; this one reads its record back now and then.
#[test]
fn shows_an_override_after_a_few_heartbeats_and_leaves_it_alone() {
    let mut sim = Sim::settled();
    for _ in 0..4 {
        sim.expect(Step::Heartbeat { dirty: WALL }, Outcome::Done);
        assert!(sim.machine.state.is_settled(), "reading back does not unsettle the registration");
    }
    assert_eq!(sim.seconds(), 120);
    sim.expect(Step::Verify, listed(Status::OutOfService));
    assert_eq!(sim.machine.state.overridden(), Some(Status::OutOfService));
    assert_eq!((sim.machine.state.status, sim.machine.state.is_settled()), (Status::Up, true));
    for _ in 0..4 {
        sim.expect(Step::Heartbeat { dirty: WALL }, Outcome::Done);
    }
    sim.expect(Step::Verify, listed(Status::Up));
    assert_eq!(sim.machine.state.overridden(), None);
}

/// The check says how the process is; it does not overrule an operator.
#[test]
fn the_health_check_leaves_an_operators_override() {
    let mut sim = Sim::settled();
    for status in [Status::Down, Status::Up] {
        sim.now += Duration::from_secs(20);
        let (now, wall) = (sim.now, sim.wall());
        assert!(sim.machine.on_health(status, now, wall));
        let (_, step) = sim.step();
        assert!(matches!(step, Step::Register { .. }), "{step:?}");
        sim.answer(&step, Outcome::Done);
        sim.expect(Step::Verify, listed(if status == Status::Up { Status::OutOfService } else { status }));
    }
    assert_eq!(sim.machine.state.overridden(), Some(Status::OutOfService));
    assert!(sim.machine.state.is_settled());
}

#[test]
fn reads_back_for_an_unchanged_up_at_most_as_often_as_it_changes() {
    let mut sim = Sim::settled();
    let mut seconds = Vec::new();
    for _ in 0..3 {
        sim.now += Duration::from_secs(1);
        sim.set_status(Status::Up);
        for _ in 0..5 {
            let (second, step) = sim.step();
            let verified = step == Step::Verify;
            sim.answer(&step, if verified { listed(Status::Up) } else { Outcome::Done });
            if verified {
                seconds.push(second);
                break;
            }
        }
    }
    assert_eq!(seconds, [1, 2, 30], "the third one waits for the next heartbeat");
}

/// A registry ignores a registration that changes UP to OUT_OF_SERVICE or back.
#[test]
fn sends_out_of_service_as_an_override() {
    let mut sim = Sim::settled();
    sim.set_status(Status::OutOfService);
    assert!(sim.machine.state.pending);
    sim.expect(Step::PutOverride(Status::OutOfService), Outcome::Done);
    assert!(sim.machine.state.is_settled());
    sim.set_status(Status::Up);
    sim.expect(Step::PutOverride(Status::Up), Outcome::Done);
    sim.expect(Step::RemoveOverride(Status::Up), Outcome::Done);
    assert!(sim.machine.state.is_settled());
    assert_eq!(sim.step(), (30, Step::Heartbeat { dirty: WALL }), "the override needs no registration");
}

#[test]
fn down_after_out_of_service_registers_and_removes_the_override() {
    let mut sim = Sim::settled();
    sim.set_status(Status::OutOfService);
    sim.expect(Step::PutOverride(Status::OutOfService), Outcome::Done);
    sim.set_status(Status::Down);
    sim.expect(Step::Register { dirty: WALL + 1 }, Outcome::Done);
    sim.expect(Step::PutOverride(Status::Down), Outcome::Done);
    sim.expect(Step::RemoveOverride(Status::Down), Outcome::Done);
    sim.expect(Step::Verify, ours());
}

#[test]
fn sends_the_override_again_after_the_registry_lost_the_pod() {
    let mut sim = Sim::settled();
    sim.set_status(Status::OutOfService);
    sim.expect(Step::PutOverride(Status::OutOfService), Outcome::Done);
    sim.expect(Step::Heartbeat { dirty: WALL }, Outcome::Unknown);
    sim.expect(Step::Register { dirty: WALL + 30_000 }, Outcome::Done);
    sim.expect(Step::PutOverride(Status::OutOfService), Outcome::Done);
    sim.expect(Step::Verify, ours());
}

/// `AbstractInstanceRegistry.statusUpdate` does nothing if the instance already has the status, so no override exists.
#[test]
fn returns_to_up_after_registering_as_out_of_service() {
    let mut sim = Sim::new();
    sim.set_status(Status::OutOfService);
    sim.expect(Step::Register { dirty: WALL }, Outcome::Done);
    sim.set_status(Status::Up);
    sim.expect(Step::PutOverride(Status::Up), Outcome::Done);
    sim.expect(Step::RemoveOverride(Status::Up), Outcome::Done);
    sim.expect(Step::Verify, ours());
}

/// The response may have been lost after the registry processed the request.
#[test]
fn removes_an_override_that_may_have_arrived() {
    let mut sim = Sim::settled();
    sim.set_status(Status::OutOfService);
    sim.expect(Step::PutOverride(Status::OutOfService), failed());
    sim.set_status(Status::Up);
    sim.expect(Step::PutOverride(Status::Up), Outcome::Done);
    sim.expect(Step::RemoveOverride(Status::Up), Outcome::Done);
    assert!(sim.machine.state.is_settled());
}

#[test]
fn does_not_remove_an_override_that_was_never_sent() {
    let mut sim = Sim::settled();
    sim.set_status(Status::OutOfService);
    sim.set_status(Status::Up);
    let (_, step) = sim.step();
    assert_eq!(step, Step::Register { dirty: WALL + 1 });
    sim.answer(&step, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert!(sim.machine.state.is_settled());
}

#[test]
fn sends_metadata_and_registers_it_if_that_fails() {
    let mut sim = Sim::settled();
    sim.machine.set_metadata(vec![("a".to_owned(), Some("1".to_owned()))], WALL);
    let keys = || BTreeSet::from(["a".to_owned()]);
    sim.expect(Step::Metadata(keys()), Outcome::Done);
    assert!(sim.machine.state.is_settled());

    sim.machine.set_metadata(vec![("a".to_owned(), Some("2".to_owned()))], WALL);
    sim.expect(Step::Metadata(keys()), failed());
    let (second, step) = sim.step();
    assert!(matches!(step, Step::Register { .. }) && second == 1, "{second} {step:?}");
    assert_eq!(sent_metadata(&sim, "a"), [("a".to_owned(), "2".to_owned())]);
    sim.answer(&step, Outcome::Done);
    sim.expect(Step::Verify, ours());
    assert!(sim.machine.state.is_settled(), "the registration contained the metadata");
}

/// The metadata request only adds entries.
#[test]
fn registers_the_removal_of_metadata() {
    let mut sim = Sim::settled();
    sim.machine.set_metadata(vec![("a".to_owned(), Some("1".to_owned()))], WALL);
    sim.expect(Step::Metadata(BTreeSet::from(["a".to_owned()])), Outcome::Done);
    sim.machine.set_metadata(vec![("a".to_owned(), None), ("never".to_owned(), None)], WALL);
    assert!(matches!(sim.step().1, Step::Register { .. }));
    assert!(sent_metadata(&sim, "a").is_empty());
}

#[test]
fn short_lease_shortens_the_backoff() {
    let now = Instant::now();
    let record = record(Duration::from_secs(10), Duration::from_secs(12));
    let mut sim = Sim { machine: Machine::new(record, Status::Up, now, WALL), start: now, now };
    let mut seconds = Vec::new();
    for _ in 0..5 {
        let (second, step) = sim.step();
        seconds.push(second);
        sim.answer(&step, failed());
    }
    assert_eq!(seconds, [0, 1, 3, 7, 11]);
}
