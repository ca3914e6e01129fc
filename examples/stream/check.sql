-- The sums against the stream itself. Where all was consumed: `wrong` is 0.
SELECT count(*) FILTER (WHERE s.orders IS DISTINCT FROM d.orders OR s.amount IS DISTINCT FROM d.amount) AS wrong,
       coalesce(sum(s.orders), 0) AS events, coalesce(sum(d.orders), 0) AS summed
  FROM (SELECT (at AT TIME ZONE 'UTC')::date AS day, key AS product, count(*) AS orders, sum((payload->>'amount')::numeric) AS amount
          FROM orders GROUP BY 1, 2) s
  FULL JOIN daily d USING (day, product);
