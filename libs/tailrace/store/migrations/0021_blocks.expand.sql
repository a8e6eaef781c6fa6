-- When a destination's silence was asked for: one from later than now is left from before a backward jump of the clock.
ALTER TABLE rate_limits ADD COLUMN blocked_at timestamptz NOT NULL DEFAULT '-infinity';
