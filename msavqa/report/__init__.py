"""What people read: numbers, figures, filmstrips and the page that holds them."""
