-- Which keys secrets are sealed with, for services that may not read the secrets.
CREATE VIEW connection_keys AS
SELECT DISTINCT substring(secrets FROM 2 FOR 4) AS key_id FROM connections WHERE secrets <> '';
