-- One batch, in the transaction of its status: that it is added twice cannot happen. It comes after the sink orders has it, so
-- that the orders can be looked up there.
INSERT INTO totals (shop, day, orders, amount)
SELECT o.shop, o.day, count(*), sum(o.amount)
  FROM weir_batch b
 CROSS JOIN jsonb_to_recordset(b.payload) p (id bigint)
  JOIN orders o ON o.id = p.id
 GROUP BY o.shop, o.day
 ORDER BY o.shop, o.day
ON CONFLICT (shop, day) DO UPDATE
   SET orders = totals.orders + excluded.orders, amount = totals.amount + excluded.amount;
