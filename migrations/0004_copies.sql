-- A spool that was copied or restored must not write over what its twin wrote. Before an open segment is written again,
-- its file is looked at: it must be what this spool confirmed last (sha256) or has sent since (attempted).

ALTER TABLE segment ADD COLUMN attempted TEXT;      -- SHA-256 of what was sent since then, stored before it was sent
