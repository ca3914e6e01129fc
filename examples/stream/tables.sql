-- What the consumer keeps: sums of each day and product.
CREATE TABLE daily (
  day     date    NOT NULL,
  product text    NOT NULL,
  orders  bigint  NOT NULL,
  amount  numeric NOT NULL,
  PRIMARY KEY (day, product)
);
