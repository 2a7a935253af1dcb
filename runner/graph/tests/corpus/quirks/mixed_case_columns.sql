-- corpus: table Users(UserId BIGINT, `First Name` STRING, lastName STRING)
CREATE OR REFRESH MATERIALIZED VIEW u AS SELECT U.userid, USERS.`first name` AS first, u.LASTNAME FROM main.SHOP.users AS u JOIN Users ON u.UserID = users.userid;
