-- wrong: sums that are not those of the orders; then how many orders there are, and how many were summed up.
SELECT (SELECT count(*) FROM (SELECT shop, day, count(*) AS orders, sum(amount) AS amount FROM orders GROUP BY shop, day) o
          FULL JOIN totals t USING (shop, day)
         WHERE o.orders IS DISTINCT FROM t.orders OR o.amount IS DISTINCT FROM t.amount) AS wrong,
       (SELECT count(*) FROM orders) AS orders,
       (SELECT coalesce(sum(t.orders), 0) FROM totals t) AS summed;
