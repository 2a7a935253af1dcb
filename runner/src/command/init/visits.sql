-- Every file that lands in ${source} is read exactly once.
CREATE OR REFRESH STREAMING TABLE visits (
  CONSTRAINT has_page EXPECT (page IS NOT NULL) ON VIOLATION DROP ROW
)
COMMENT "Visits of pages, one row per visit"
AS SELECT page, visitor, visited_at
   FROM STREAM read_files('${source}', format => 'json', schema => 'page STRING, visitor STRING, visited_at TIMESTAMP');

-- Always equals the result of its query.
CREATE OR REFRESH MATERIALIZED VIEW visits_per_page AS
SELECT page, COUNT(*) AS visits, COUNT(DISTINCT visitor) AS visitors FROM visits GROUP BY page;
