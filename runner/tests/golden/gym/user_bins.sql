SELECT alt_id, CASE WHEN dob IS NULL THEN 'unknown'
                    WHEN add_months(dob, 18 * 12) > current_date() THEN 'under 18'
                    WHEN add_months(dob, 25 * 12) > current_date() THEN '18-25'
                    WHEN add_months(dob, 45 * 12) > current_date() THEN '25-45'
                    WHEN add_months(dob, 65 * 12) > current_date() THEN '45-65' ELSE '65+' END AS age, gender, city, state
FROM users_silver
