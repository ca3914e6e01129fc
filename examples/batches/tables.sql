-- The first sink fills orders, the second one keeps the sums of each shop and day.
CREATE TABLE orders (
  id      bigint  PRIMARY KEY,
  shop    text    NOT NULL,
  day     date    NOT NULL,
  amount  numeric NOT NULL
);
CREATE TABLE totals (
  shop    text    NOT NULL,
  day     date    NOT NULL,
  orders  bigint  NOT NULL,
  amount  numeric NOT NULL,
  PRIMARY KEY (shop, day)
);
