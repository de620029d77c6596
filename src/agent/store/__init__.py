"""The only room that speaks SQL: tables as data, one function per statement. No decisions here."""
