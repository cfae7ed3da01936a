DROP TABLE attachment_downloads;
