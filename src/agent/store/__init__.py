"""The only room that speaks SQL: tables as data, one function a statement. No decisions here."""
