-- A chunk of orders, added to the sums. It commits together with the group's progress, or neither does.
INSERT INTO daily (day, product, orders, amount)
SELECT (at AT TIME ZONE 'UTC')::date, key, count(*), sum((payload->>'amount')::numeric)
  FROM weir_chunk
 GROUP BY 1, 2
 ORDER BY 1, 2  -- so that workers lock rows in one order, and never wait for one another in a ring
ON CONFLICT (day, product) DO UPDATE
   SET orders = daily.orders + excluded.orders, amount = daily.amount + excluded.amount;
