ALTER TABLE users DROP COLUMN receipts_visible;
DROP TABLE receipts;
