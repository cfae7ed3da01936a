DROP TABLE chat_notification_settings;
DROP TABLE notification_settings;
