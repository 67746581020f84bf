//! Makes what was salvaged of a damaged database agree with itself again: rows with segments, and the
//! ledger with both.

use rusqlite::{Connection, params};

use super::ledger;

/// Makes the copy consistent, of which so many events were once recorded.
///
/// # Errors
/// When it can't be written.
pub(super) fn restore(target: &Connection, recorded: i64) -> rusqlite::Result<()> {
    join_rows_and_segments(target)?;
    seal_what_lost_rows(target)?;
    settle(target, recorded)
}

/// Makes rows and segments fit each other again.
fn join_rows_and_segments(target: &Connection) -> rusqlite::Result<()> {
    target.execute_batch(
        // A row without its segment is on no way any more.
        "UPDATE event SET segment = NULL WHERE state IN (0, 3);
         UPDATE event SET state = 0, segment = NULL WHERE state = 1 AND segment NOT IN (SELECT id FROM segment);
         UPDATE event SET state = 0, segment = NULL WHERE state = 1 AND segment IS NULL;
         INSERT OR IGNORE INTO segment (id, destination, name, sealed)
             SELECT DISTINCT segment, '', 'lost-' || segment, 1 FROM event
             WHERE state = 2 AND segment IS NOT NULL AND segment NOT IN (SELECT id FROM segment);
         DELETE FROM event WHERE state = 2 AND segment IS NULL;",
    )
}

/// A segment whose confirmed rows are not all here must never be written again: its remote file has
/// them. What was under way in it goes another way; should it have arrived unseen, it will be there
/// twice, which is the lesser evil.
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

/// Makes the ledger whole again: what was recorded and is neither a row nor counted was lost with
/// the damage.
fn settle(target: &Connection, recorded: i64) -> rusqlite::Result<()> {
    let number = |sql: &str| target.query_row(sql, [], |row| row.get::<_, i64>(0));
    target.execute("DELETE FROM ledger WHERE count < 0", [])?;
    let recorded = recorded.max(number("SELECT coalesce(max(seq), 0) FROM event")?);
    // Sent rows that are missing stay counted as sent; a count that is missing is made from the
    // rows.
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
