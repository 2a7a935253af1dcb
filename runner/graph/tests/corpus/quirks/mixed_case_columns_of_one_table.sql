-- corpus: table Users(UserId BIGINT, `First Name` STRING, lastName STRING)
CREATE OR REFRESH MATERIALIZED VIEW u AS SELECT userid, `first name` AS first, LASTNAME FROM USERS WHERE UserID > 0;
