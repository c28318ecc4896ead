"""Where items come from: folders, tables, Hugging Face, a drawn demo."""
