"""The journal, the SQL tables and migrations, one repository a concern. Nothing
above this room knows which database it has."""
