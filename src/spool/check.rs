//! `spool check`: verifies the database and the conservation law, and reports what was set aside or
//! lost.

use serde::Serialize;

use super::{Overflow, SetAside, Spool, SpoolError, State, access};
use crate::home::Home;

/// What `spool check` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// Whether no problem was found.
    pub(crate) ok: bool,
    /// The problems, one sentence each.
    pub(crate) problems: Vec<String>,
    /// Whether the database itself is damaged.
    #[serde(skip)]
    pub(crate) damaged: bool,
}

/// The result when there is no spool: no problems.
impl Default for Check {
    fn default() -> Self {
        Self {
            ok: true,
            problems: Vec::new(),
            damaged: false,
        }
    }
}

/// Verifies the spool of a home and reports what is damaged, set aside or lost. Repairs a damaged
/// database.
///
/// # Errors
/// When there is a spool and it can't be opened or read.
pub(crate) fn check(home: &Home) -> Result<Check, SpoolError> {
    let quarantined = home.quarantined();
    let lost_before = access::without_repair(home, lost).unwrap_or(0);
    let mut check = Spool::read(home, Spool::check)?;
    if check.damaged {
        access::repair_unless_done(home, &quarantined)?;
    }
    let mut set_aside = home.quarantined();
    set_aside.retain(|name| !quarantined.contains(name));
    if !set_aside.is_empty() {
        let (recorded, lost) =
            Spool::read(home, |spool| Ok((spool.stats()?.recorded, lost(spool)?)))?;
        let outcome = if recorded == 0 {
            "nothing in it could be read, so it is not known how many events are lost".to_owned()
        } else {
            let lost = lost.saturating_sub(lost_before);
            format!("events lost: {lost}; the others were carried over into a new one")
        };
        check.problems.push(format!(
            "the database was damaged and set aside as `{}`; {outcome}",
            set_aside.join("`, `")
        ));
    }
    if let Some(SetAside { path, lines, torn }) = Overflow::of(home).set_aside()
        && lines > torn
    {
        check.problems.push(format!(
            "lines of overflow.jsonl that are no events of this program: {}; they were set aside in `{}`; delete that file once you have looked at it",
            lines - torn,
            path.display()
        ));
    }
    check.ok = check.problems.is_empty();
    Ok(check)
}

/// Events that were lost with a damaged database.
fn lost(spool: &Spool) -> Result<u64, SpoolError> {
    spool.ledger("dropped:damaged").map_err(spool.fail(CHECK))
}

/// The operation named in errors.
const CHECK: &str = "check";

impl Spool {
    /// Verifies the database and the conservation law (docs/design.md, P6): every recorded event is
    /// pending, sending, sent, held, dropped or purged. `recorded` is the highest `seq` ever
    /// assigned; the other numbers come from the rows and from the ledger of deleted rows.
    ///
    /// # Errors
    /// When the database can't be read at all.
    fn check(&self) -> Result<Check, SpoolError> {
        let mut problems = self.damage().map_err(self.fail(CHECK))?;
        let damaged = !problems.is_empty();
        // One read transaction, so that other processes can't change the numbers in between.
        let _moment = self
            .connection
            .unchecked_transaction()
            .map_err(self.fail(CHECK))?;
        problems.extend(self.mismatched().map_err(self.fail(CHECK))?);
        let stats = self.stats_of_the_moment()?;
        let accounted = stats.pending
            + stats.sending
            + stats.sent
            + stats.held
            + stats.dropped_total()
            + stats.purged;
        if stats.recorded != accounted {
            problems.push(format!(
                "events recorded: {}, but accounted for: {accounted}",
                stats.recorded
            ));
        }
        let rows = self.count_rows(State::Sent).map_err(self.fail(CHECK))?;
        let forgotten = self.ledger("forgotten").map_err(self.fail(CHECK))?;
        if stats.sent != rows + forgotten {
            problems.push(format!(
                "events sent: {}, but known: {rows} rows and {forgotten} forgotten ones",
                stats.sent
            ));
        }
        Ok(Check {
            ok: problems.is_empty(),
            problems,
            damaged,
        })
    }

    /// The problems that SQLite's own integrity check finds, and rows that are not events.
    fn damage(&self) -> rusqlite::Result<Vec<String>> {
        let mut problems = Vec::new();
        let mut statement = self.connection.prepare("PRAGMA integrity_check(20)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let line: String = row.get(0)?;
            if line != "ok" {
                problems.push(format!("the database is damaged: {line}"));
            }
        }
        // SQLite has no checksums for the content of rows.
        let unreadable: i64 = self.connection.query_row(
            "SELECT count(*) FROM event WHERE NOT json_valid(payload)",
            [],
            |row| row.get(0),
        )?;
        if unreadable > 0 {
            problems.push(format!("events that can't be read: {unreadable}"));
        }
        Ok(problems)
    }

    /// Events whose state does not match whether they are in a segment.
    fn mismatched(&self) -> rusqlite::Result<Option<String>> {
        let stray: i64 = self.connection.query_row(
            "SELECT count(*) FROM event WHERE (state IN (1, 2)) <> (segment IS NOT NULL)
             OR (segment IS NOT NULL AND segment NOT IN (SELECT id FROM segment))",
            [],
            |row| row.get(0),
        )?;
        Ok((stray > 0).then(|| format!("events whose state does not fit their segment: {stray}")))
    }
}
