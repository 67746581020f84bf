//! Makes the content that was salvaged from a damaged database consistent: rows must match their
//! segments, and the ledger must match both.

use rusqlite::{Connection, params};

use super::ledger;

/// Makes the copy consistent. `recorded` is the number of events that were recorded before the damage.
///
/// # Errors
/// When it can't be written.
pub(super) fn restore(target: &Connection, recorded: i64) -> rusqlite::Result<()> {
    join_rows_and_segments(target)?;
    seal_what_lost_rows(target)?;
    settle(target, recorded)
}

/// Makes rows and segments match.
fn join_rows_and_segments(target: &Connection) -> rusqlite::Result<()> {
    target.execute_batch(
        // A row whose segment is lost is not being sent any more.
        "UPDATE event SET segment = NULL WHERE state IN (0, 3);
         UPDATE event SET state = 0, segment = NULL WHERE state = 1 AND segment NOT IN (SELECT id FROM segment);
         UPDATE event SET state = 0, segment = NULL WHERE state = 1 AND segment IS NULL;
         INSERT OR IGNORE INTO segment (id, destination, name, sealed)
             SELECT DISTINCT segment, '', 'lost-' || segment, 1 FROM event
             WHERE state = 2 AND segment IS NOT NULL AND segment NOT IN (SELECT id FROM segment);
         DELETE FROM event WHERE state = 2 AND segment IS NULL;",
    )
}

/// A segment that has lost confirmed rows must never be written again, because its remote file
/// still has them. Its `sending` rows become pending and go into another segment. If they had
/// arrived without an answer, they will be at the destination twice, which is better than losing
/// others.
fn seal_what_lost_rows(target: &Connection) -> rusqlite::Result<()> {
    const LOST: &str = "SELECT id FROM segment WHERE coalesce(bytes, 0) >
        (SELECT coalesce(sum(octet_length(payload) + 1), 0) FROM event WHERE segment = segment.id AND state = 2)";
    target.execute(
        &format!(
            "UPDATE event SET state = 0, segment = NULL WHERE state = 1 AND segment IN ({LOST})"
        ),
        [],
    )?;
    target.execute(
        &format!("UPDATE segment SET sealed = 1, stale = 0 WHERE id IN ({LOST})"),
        [],
    )?;
    Ok(())
}

/// Completes the ledger: recorded events that are neither a row nor counted were lost with the
/// damage.
fn settle(target: &Connection, recorded: i64) -> rusqlite::Result<()> {
    let number = |sql: &str| target.query_row(sql, [], |row| row.get::<_, i64>(0));
    target.execute("DELETE FROM ledger WHERE count < 0", [])?;
    let recorded = recorded.max(number("SELECT coalesce(max(seq), 0) FROM event")?);
    // Missing sent rows stay counted as sent. A missing count is computed from the rows.
    let sent_rows = number("SELECT count(*) FROM event WHERE state = 2")?;
    let sent = number("SELECT coalesce((SELECT count FROM ledger WHERE entry = 'sent'), 0)")?
        .max(sent_rows);
    for (entry, count) in [("sent", sent), ("forgotten", sent - sent_rows)] {
        target.execute(
            "INSERT OR REPLACE INTO ledger (entry, count) VALUES (?1, ?2)",
            params![entry, count],
        )?;
    }
    let accounted = sent
        + number("SELECT count(*) FROM event WHERE state <> 2")?
        + number(
            "SELECT coalesce(sum(count), 0) FROM ledger WHERE entry = 'purged' OR entry LIKE 'dropped:%'",
        )?;
    ledger::count(
        target,
        "dropped:damaged",
        usize::try_from(recorded - accounted).unwrap_or(0),
    )?;
    target.execute("DELETE FROM sqlite_sequence WHERE name = 'event'", [])?;
    target.execute(
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('event', ?1)",
        [recorded.max(accounted)],
    )?;
    Ok(())
}
