/* weir
materialized: table
key: pair
checks:
  - unique: pair
  - not_null: [lowest, highest, mean]
  - {sql: select count(*) = 4 from this(), name: every pair is there}
*/
select pair, min(rate) as lowest, max(rate) as highest, round(avg(rate), 4) as mean, count(*) as rates,
       max(ts) as last_ts
from ref('silver_rates')
group by pair
