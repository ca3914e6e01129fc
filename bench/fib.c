/* fib N: the recursive Fibonacci number, as the Windmill study computes it in each of its tasks. */
#include <stdio.h>
#include <stdlib.h>

static long fib(long n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  printf("%ld\n", fib(atol(argv[1])));
  return 0;
}
