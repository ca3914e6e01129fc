-- The lead drops it when merging: 010 comes from another branch.
SELECT 1;
